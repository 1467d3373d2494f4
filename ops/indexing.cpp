#include "keymix/ops/indexing.h"

#include "keymix/ops/binary.h"
#include "keymix/ops/combine.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

#include <algorithm>
#include <numeric>

namespace keymix {

using detail::checked_index;

namespace {

Tensor zeros_of(const Shape& shape, const Tensor& like) {
  return zeros(shape, {.dtype = like.dtype(), .device = like.device()});
}

// Slices of x picked by a checked int64 index; the gradient adds up where an index repeats.
Tensor select(const Tensor& x, int dim, const Tensor& index);

Tensor add_at(const Tensor& dy, int dim, const Tensor& index, const Shape& shape) {
  Tensor y = zeros_of(shape, dy);
  detail::backend_of(dy).index_add(mut_view_of(y), view_of(index), view_of(dy), dim);
  return record("index_add", y, {dy},
                [dim, index](const Tensor& dz) { return select(dz, dim, index); });
}

Tensor select(const Tensor& x, int dim, const Tensor& index) {
  Shape shape = x.shape();
  shape[dim] = index.numel();
  Tensor y = allocate("index_select", shape, x.dtype(), x.device());
  detail::backend_of(x).index_select(mut_view_of(y), view_of(x), view_of(index), dim);
  return record("index_select", y, {x}, [dim, index, from = x.shape()](const Tensor& dy) {
    return add_at(dy, dim, index, from);
  });
}

Tensor gather_checked(const Tensor& x, int dim, const Tensor& index);

Tensor scatter_add_zeros(const Tensor& dy, int dim, const Tensor& index, const Shape& shape) {
  Tensor y = zeros_of(shape, dy);
  detail::backend_of(dy).scatter_add(mut_view_of(y), view_of(index), view_of(dy), dim);
  return record("scatter_add", y, {dy},
                [dim, index](const Tensor& dz) { return gather_checked(dz, dim, index); });
}

Tensor gather_checked(const Tensor& x, int dim, const Tensor& index) {
  Tensor y = allocate("gather", index.shape(), x.dtype(), x.device());
  detail::backend_of(x).gather(mut_view_of(y), view_of(x), view_of(index), dim);
  return record("gather", y, {x}, [dim, index, from = x.shape()](const Tensor& dy) {
    return scatter_add_zeros(dy, dim, index, from);
  });
}

// --- Tensor::index: ints and slices make a view first; tensors then pick from it ---

struct Plan {
  Tensor view;                               // after ints and slices
  std::vector<std::optional<Tensor>> picks;  // per dimension of `view`: an int64 index tensor
};

// The coordinates of a mask's true elements, one index tensor per dimension of the mask.
TensorList mask_coordinates(std::string_view op, const Tensor& mask) {
  Backend& backend = detail::backend_of(mask);
  Tensor flat = allocate(op, {backend.count_nonzero(view_of(mask))}, int64, mask.device());
  backend.nonzero(mut_view_of(flat), view_of(mask));
  std::vector<std::int64_t> positions = to_vector<std::int64_t>(flat);
  TensorList coordinates;
  for (int d = 0; d < mask.ndim(); ++d) {
    std::vector<std::int64_t> along(positions.size());
    for (std::size_t i = 0; i < positions.size(); ++i)
      along[i] = detail::coordinates(positions[i], mask.shape())[d];
    coordinates.push_back(from_values(along, {flat.numel()}, {.device = mask.device()}));
  }
  return coordinates;
}

Tensor normalized_index(std::string_view op, const Tensor& index, std::int64_t size) {
  check(index.dtype() == int32 || index.dtype() == int64,
        "{}: an index tensor of {}; needed int32, int64 or bool", op, to_string(index.dtype()));
  const Tensor wide = index.to(int64);
  const Tensor from_start = where(wide < 0, wide + size, wide);
  const std::int64_t bad = detail::backend_of(wide).first_index_outside(view_of(from_start), size);
  if (bad >= 0) {
    const Shape at = detail::coordinates(bad, index.shape());
    const auto value = to_vector<std::int64_t>(wide)[static_cast<std::size_t>(bad)];
    fail("{}: index {} at position {} is outside [{}, {}) (negative indices count from the end)",
         op, value, at, -size, size);
  }
  return from_start;
}

Plan make_plan(std::string_view op, const Tensor& x, const std::vector<IndexItem>& items) {
  Plan plan{x, {}};
  int d = 0;  // the dimension of plan.view that the next item speaks about
  for (const IndexItem& item : items) {
    check(d < plan.view.ndim(), "{}: too many items for shape {}; got {}; needed at most {}", op,
          x.shape(), items.size(), x.ndim());
    if (const auto* i = std::get_if<std::int64_t>(&item)) {
      const std::int64_t size = plan.view.size(d);
      check(*i >= -size && *i < size, "{}: {} is outside dimension {} of {}; needed [{}, {})", op,
            *i, d, plan.view.shape(), -size, size);
      const std::int64_t at = *i < 0 ? *i + size : *i;
      plan.view = plan.view.slice(d, at, at + 1).squeeze(d);
    } else if (const auto* range = std::get_if<Slice>(&item)) {
      check(range->step >= 1, "{}: step {} of a slice is not supported; needed 1 or more", op,
            range->step);
      plan.view = plan.view.slice(d++, range->start, range->stop, range->step);
      plan.picks.emplace_back();
    } else {
      const Tensor& pick = std::get<Tensor>(item);
      if (pick.dtype() == bool_) {
        check(
            d + pick.ndim() <= plan.view.ndim() &&
                std::equal(pick.shape().begin(), pick.shape().end(), plan.view.shape().begin() + d),
            "{}: the mask is {}; needed the sizes of {} from dimension {} on", op, pick.shape(),
            plan.view.shape(), d);
        for (const Tensor& along : mask_coordinates(op, pick)) plan.picks.emplace_back(along);
        d += pick.ndim();
      } else {
        plan.picks.emplace_back(normalized_index(op, pick, plan.view.size(d++)));
      }
    }
  }
  plan.picks.resize(static_cast<std::size_t>(plan.view.ndim()));
  return plan;
}

Tensor permuted(const Tensor& x, const std::vector<int>& order) {
  Tensor y = x;  // swaps of two dimensions, so that each step is a recorded view
  std::vector<int> now(order.size());
  std::iota(now.begin(), now.end(), 0);
  for (int to = 0; to < static_cast<int>(order.size()); ++to) {
    const int from = static_cast<int>(
        std::find(now.begin(), now.end(), order[static_cast<std::size_t>(to)]) - now.begin());
    if (from == to) continue;
    y = y.transpose(to, from);
    std::swap(now[static_cast<std::size_t>(to)], now[static_cast<std::size_t>(from)]);
  }
  return y;
}

// NumPy's rule: the picked dimensions become one group, which stands where the picks stood if they
// were adjacent, else in front.
Tensor pick(std::string_view op, const Plan& plan) {
  std::vector<int> picked, rest;
  for (int d = 0; d < plan.view.ndim(); ++d)
    (plan.picks[static_cast<std::size_t>(d)] ? picked : rest).push_back(d);
  if (picked.empty()) return plan.view;
  Shape group;
  for (int d : picked)
    group = broadcast_shapes(op, group, plan.picks[static_cast<std::size_t>(d)]->shape());
  std::int64_t entries = 1;
  Tensor position = zeros(group, {.dtype = int64, .device = plan.view.device()});
  for (int d : picked) {
    position = position * plan.view.size(d) + *plan.picks[static_cast<std::size_t>(d)];
    entries *= plan.view.size(d);
  }
  std::vector<int> order = picked;
  order.insert(order.end(), rest.begin(), rest.end());
  Shape rows{entries}, result = group;
  for (int d : rest) {
    rows.push_back(plan.view.size(d));
    result.push_back(plan.view.size(d));
  }
  Tensor y =
      select(permuted(plan.view, order).reshape(rows), 0, position.reshape({position.numel()}))
          .reshape(result);
  const bool adjacent = picked.back() - picked.front() + 1 == static_cast<int>(picked.size());
  if (!adjacent || picked.front() == 0) return y;
  std::vector<int> back;  // the group moves behind the first picked.front() remaining dimensions
  for (int d = 0; d < picked.front(); ++d) back.push_back(group.ndim() + d);
  for (int d = 0; d < group.ndim(); ++d) back.push_back(d);
  for (int d = group.ndim() + picked.front(); d < result.ndim(); ++d) back.push_back(d);
  return permuted(y, back);
}

// The storage positions, relative to x's first element, of all of x's elements.
Tensor storage_positions(const Tensor& x) {
  Tensor positions = zeros(x.shape(), {.dtype = int64, .device = x.device()});
  for (int d = 0; d < x.ndim(); ++d) {
    Shape along = Shape::filled(x.ndim(), 1);
    along[d] = x.size(d);
    positions =
        positions + (arange(x.size(d), {.device = x.device()}) * x.strides()[d]).reshape(along);
  }
  return positions;
}

}  // namespace

Tensor Tensor::index(const std::vector<IndexItem>& items) const {
  return pick("index", make_plan("index", *this, items));
}

Tensor& Tensor::index_put_(const std::vector<IndexItem>& items, const Tensor& values) {
  autograd::begin_inplace("index_put_", *this, {values});
  NoGrad no_grad;
  const Plan plan = make_plan("index_put_", *this, items);
  const bool is_view = std::none_of(plan.picks.begin(), plan.picks.end(),
                                    [](const auto& p) { return p.has_value(); });
  if (is_view) {
    Tensor target = plan.view;
    check(broadcast_shapes("index_put_", target.shape(), values.shape()) == target.shape(),
          "index_put_: values {} do not broadcast to the picked elements; needed {}, or what "
          "broadcasts to it",
          values.shape(), target.shape());
    target.copy_(values);
    return *this;
  }
  const Tensor positions =
      pick("index_put_", make_plan("index_put_", storage_positions(*this), items));
  check(broadcast_shapes("index_put_", positions.shape(), values.shape()) == positions.shape(),
        "index_put_: values {} do not broadcast to the picked elements; needed {}, or what "
        "broadcasts to it",
        values.shape(), positions.shape());
  if (positions.numel() == 0) return *this;
  const Tensor flat = positions.reshape({positions.numel()});
  const std::int64_t extent = static_cast<std::int64_t>(flat.max().item<std::int64_t>()) + 1;
  const Tensor memory = detail::make_view(*this, {extent}, {1});
  // Memory that the values share with the target is read whole before it is written.
  const bool overlaps = values.impl().storage == impl().storage;
  const Tensor source = (overlaps ? values.clone() : values)
                            .to(dtype())
                            .to(device())
                            .expand(positions.shape())
                            .contiguous()
                            .reshape({flat.numel()});
  detail::backend_of(*this).index_copy(mut_view_of(memory), view_of(flat), view_of(source));
  return *this;
}

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  const int d = normalize_dim("gather", dim, x.ndim());
  detail::check_same_device("gather", {x, index});
  bool fits = index.ndim() == x.ndim();
  for (int i = 0; fits && i < x.ndim(); ++i) fits = i == d || index.size(i) <= x.size(i);
  check(fits,
        "gather: index {} does not fit {}; needed as many dimensions, no larger except along {}",
        index.shape(), x.shape(), d);
  return gather_checked(x, d, checked_index("gather", index, x.size(d), "the gathered dimension"));
}

Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& source) {
  const int d = normalize_dim("scatter_add", dim, x.ndim());
  detail::check_same_device("scatter_add", {x, index, source});
  check(x.dtype() == source.dtype(),
        "scatter_add: dtypes differ; x is {}, source {}; needed one dtype", to_string(x.dtype()),
        to_string(source.dtype()));
  check(x.dtype() != bool_, "scatter_add: bool elements cannot be added; needed numbers");
  bool fits = index.ndim() == x.ndim() && source.ndim() == x.ndim();
  for (int i = 0; fits && i < x.ndim(); ++i)
    fits = index.size(i) <= source.size(i) && (i == d || index.size(i) <= x.size(i));
  check(fits,
        "scatter_add: index {} does not fit source {} and {}; needed as many dimensions, no larger "
        "than source's, nor than x's except along {}",
        index.shape(), source.shape(), x.shape(), d);
  const Tensor checked =
      checked_index("scatter_add", index, x.size(d), "the dimension that is added to");
  Tensor terms = source;  // those that have an index
  for (int i = 0; i < x.ndim(); ++i)
    if (index.size(i) < source.size(i)) terms = terms.slice(i, 0, index.size(i));
  Tensor y;
  {
    const NoGrad no_grad;
    y = x.clone();
  }
  detail::backend_of(y).scatter_add(mut_view_of(y), view_of(checked), view_of(terms), d);
  return record("scatter_add", y, {x, terms}, [d, checked](const Tensor& dy, const Needs& needs) {
    return TensorList{needs[0] ? dy : Tensor(),
                      needs[1] ? gather_checked(dy, d, checked) : Tensor()};
  });
}

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  const int d = normalize_dim("index_select", dim, x.ndim());
  detail::check_same_device("index_select", {x, index});
  check(index.ndim() == 1, "index_select: index has shape {}; needed one dimension", index.shape());
  return select(x, d, checked_index("index_select", index, x.size(d), "the selected dimension"));
}

Tensor embedding(const Tensor& weight, const Tensor& index) {
  check(weight.ndim() == 2, "embedding: weight has shape {}; needed [entries, width]",
        weight.shape());
  detail::check_same_device("embedding", {weight, index});
  Shape shape = index.shape();
  shape.push_back(weight.size(1));
  const Tensor flat = checked_index("embedding", index, weight.size(0), "the table's entries")
                          .reshape({index.numel()});
  return select(weight, 0, flat).reshape(shape);
}

Tensor one_hot(const Tensor& index, std::int64_t classes) {
  check(classes >= 1, "one_hot: got {} classes; needed 1 or more", classes);
  const Tensor checked = checked_index("one_hot", index, classes, "the classes");
  return (checked.unsqueeze(-1) == arange(classes, {.device = index.device()})).to(int64);
}

}  // namespace keymix
