#include "op_cases/naive.h"

#include "support/tensors.h"

namespace keymix::testing::naive {
namespace {

std::size_t position(const Shape& shape, const Shape& index) {
  std::int64_t p = 0;
  for (int d = 0; d < shape.ndim(); ++d) p = p * shape[d] + index[d];
  return static_cast<std::size_t>(p);
}

// The element of `x` that broadcasting shows at `index`.
double broadcast_at(const Array& x, const Shape& index) {
  const int lead = index.ndim() - x.shape.ndim();
  Shape own = x.shape;
  for (int d = 0; d < own.ndim(); ++d) own[d] = x.shape[d] == 1 ? 0 : index[lead + d];
  return x.at(own);
}

}  // namespace

Array::Array(const Tensor& x) : shape(x.shape()), data(values(x.detach())) {}
Array::Array(const Shape& shape_) : shape(shape_), data(static_cast<std::size_t>(shape_.numel())) {}
double& Array::at(const Shape& index) { return data[position(shape, index)]; }
double Array::at(const Shape& index) const { return data[position(shape, index)]; }
Tensor Array::tensor(DType dtype) const { return make(data, shape, dtype); }

void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& use) {
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    Shape index = shape;
    std::int64_t rest = i;
    for (int d = shape.ndim() - 1; d >= 0; --d) {
      index[d] = rest % shape[d];
      rest /= shape[d];
    }
    use(index);
  }
}

Builder map(std::function<double(double)> f) {
  return [f = std::move(f)](const TensorList& x) {
    Array y(x[0]);
    for (double& element : y.data) element = f(element);
    return TensorList{y.tensor()};
  };
}

Builder zip(std::function<double(double, double)> f) {
  return [f = std::move(f)](const TensorList& x) {
    const Array a(x[0]), b(x[1]);
    Array y(broadcast_shapes("naive", a.shape, b.shape));
    for_each_index(y.shape,
                   [&](const Shape& i) { y.at(i) = f(broadcast_at(a, i), broadcast_at(b, i)); });
    return TensorList{y.tensor()};
  };
}

Builder zip3(std::function<double(double, double, double)> f) {
  return [f = std::move(f)](const TensorList& x) {
    const Array a(x[0]), b(x[1]), c(x[2]);
    Array y(broadcast_shapes("naive", a.shape, broadcast_shapes("naive", b.shape, c.shape)));
    for_each_index(y.shape, [&](const Shape& i) {
      y.at(i) = f(broadcast_at(a, i), broadcast_at(b, i), broadcast_at(c, i));
    });
    return TensorList{y.tensor()};
  };
}

Builder reduce(Dims dims, bool keepdim, std::function<double(const std::vector<double>&)> f) {
  return [dims = std::move(dims), keepdim, f = std::move(f)](const TensorList& list) {
    const Array x(list[0]);
    const std::uint32_t mask = dims.mask("naive", x.shape.ndim());
    Shape kept = x.shape, result;
    for (int d = 0; d < x.shape.ndim(); ++d) {
      const bool reduced = (mask >> d) & 1u;
      if (reduced) kept[d] = 1;
      if (keepdim || !reduced) result.push_back(kept[d]);
    }
    std::vector<std::vector<double>> groups(static_cast<std::size_t>(kept.numel()));
    for_each_index(x.shape, [&](const Shape& i) {
      Shape group = i;
      for (int d = 0; d < group.ndim(); ++d)
        if ((mask >> d) & 1u) group[d] = 0;
      groups[position(kept, group)].push_back(x.at(i));
    });
    Array y(result);
    for (std::size_t i = 0; i < groups.size(); ++i) y.data[i] = f(groups[i]);
    return TensorList{y.tensor()};
  };
}

Builder along(int dim, std::function<std::vector<double>(const std::vector<double>&)> f) {
  return [dim, f = std::move(f)](const TensorList& list) {
    const Array x(list[0]);
    Array y(x.shape);
    const int d = normalize_dim("naive", dim, x.shape.ndim());
    Shape starts = x.shape;
    starts[d] = starts[d] > 0 ? 1 : 0;
    for_each_index(starts, [&](Shape i) {
      std::vector<double> line;
      for (i[d] = 0; i[d] < x.shape[d]; ++i[d]) line.push_back(x.at(i));
      line = f(line);
      for (i[d] = 0; i[d] < x.shape[d]; ++i[d]) y.at(i) = line[static_cast<std::size_t>(i[d])];
    });
    return TensorList{y.tensor()};
  };
}

Builder pick(Shape shape, std::function<Shape(const Shape&)> source, double fill) {
  return [shape, source = std::move(source), fill](const TensorList& list) {
    const Array x(list[0]);
    Array y(shape);
    for_each_index(shape, [&](const Shape& i) {
      const Shape from = source(i);
      bool inside = true;
      for (int d = 0; d < from.ndim(); ++d) inside = inside && from[d] >= 0 && from[d] < x.shape[d];
      y.at(i) = inside ? x.at(from) : fill;
    });
    return TensorList{y.tensor()};
  };
}

Tensor matmul(const Tensor& left, const Tensor& right) {
  Array a(left), b(right);
  if (a.shape.ndim() == 1) a.shape.insert(0, 1);
  if (b.shape.ndim() == 1) b.shape.insert(1, 1);
  Shape a_batch = a.shape, b_batch = b.shape;
  for (Shape* batch : {&a_batch, &b_batch})
    for (int i = 0; i < 2; ++i) batch->erase(batch->ndim() - 1);
  const std::int64_t m = a.shape[a.shape.ndim() - 2], k = a.shape.back(), n = b.shape.back();
  Shape shape = broadcast_shapes("naive", a_batch, b_batch);
  shape.push_back(m);
  shape.push_back(n);
  Array y(shape);
  for_each_index(shape, [&](const Shape& i) {
    const int ndim = shape.ndim();
    double sum = 0;
    for (std::int64_t p = 0; p < k; ++p) {
      Shape in_a = i, in_b = i;
      in_a[ndim - 1] = p;
      in_b[ndim - 2] = p;
      sum += broadcast_at(a, in_a) * broadcast_at(b, in_b);
    }
    y.at(i) = sum;
  });
  if (right.ndim() == 1) y.shape.erase(y.shape.ndim() - 1);
  if (left.ndim() == 1) y.shape.erase(y.shape.ndim() - (right.ndim() == 1 ? 1 : 2));
  return y.tensor();
}

}  // namespace keymix::testing::naive
