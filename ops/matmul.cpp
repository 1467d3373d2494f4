#include "keymix/ops/matmul.h"

#include "keymix/ops/composite.h"
#include "keymix/ops/detail.h"

namespace keymix {
namespace {

Shape batch_of(const Tensor& x) {
  Shape batch = x.shape();
  batch.erase(batch.ndim() - 1);
  batch.erase(batch.ndim() - 1);
  return batch;
}

[[noreturn]] void fail_inner(const Tensor& a, const Tensor& b, std::int64_t ka, std::int64_t kb) {
  const bool rows_meet_rows = a.size(-1) == b.size(-1);
  throw Error(
      fmt::format("matmul: inner dimensions differ; got {} and {}; needed equal ones ({} vs {})",
                  a.shape(), b.shape(), ka, kb),
      rows_meet_rows ? "for q·kᵀ use matmul(q, k.transpose(-2, -1))" : "");
}

// Operands of at least two dimensions, one dtype.
Tensor product(const Tensor& a, const Tensor& b) {
  const Shape batch = broadcast_shapes("matmul", batch_of(a), batch_of(b));
  const auto with = [&](std::int64_t rows, std::int64_t columns) {
    Shape shape = batch;
    shape.push_back(rows);
    shape.push_back(columns);
    return shape;
  };
  const std::int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  Tensor y = allocate("matmul", with(m, n), a.dtype(), a.device());
  detail::backend_of(a).matmul(mut_view_of(y), broadcast_view(a, with(m, k)),
                               broadcast_view(b, with(k, n)));
  return record(
      "matmul", y, {a, b},
      [a = SavedTensor(a), b = SavedTensor(b)](const Tensor& dy, const Needs& needs) {
        const Tensor x = a.get(), w = b.get();
        return TensorList{
            needs[0] ? detail::sum_to(matmul(dy, w.transpose(-2, -1)), x.shape()) : Tensor(),
            needs[1] ? detail::sum_to(matmul(x.transpose(-2, -1), dy), w.shape()) : Tensor()};
      });
}

}  // namespace

Tensor matmul(const Tensor& a_in, const Tensor& b_in) {
  check(a_in.ndim() >= 1 && b_in.ndim() >= 1,
        "matmul: got shapes {} and {}; needed at least one dimension each", a_in.shape(),
        b_in.shape());
  check(a_in.dtype() != bool_ && b_in.dtype() != bool_,
        "matmul: bool has no products; needed numbers (cast first)");
  detail::check_same_device("matmul", {a_in, b_in});
  const DType dtype = promote(a_in.dtype(), b_in.dtype());
  Tensor a = a_in.to(dtype), b = b_in.to(dtype);
  const bool row = a.ndim() == 1, column = b.ndim() == 1;
  if (row) a = a.unsqueeze(0);
  if (column) b = b.unsqueeze(1);
  if (a.size(-1) != b.size(-2)) fail_inner(a_in, b_in, a.size(-1), b.size(-2));

  Tensor y;
  if (a.ndim() > 2 && b.ndim() == 2) {
    // One product of many rows; its gradient for b is then one product too, not a sum of many.
    Shape shape = a.shape();
    shape[shape.ndim() - 1] = b.size(1);
    y = product(a.flatten(0, -2), b).reshape(shape);
  } else {
    y = product(a, b);
  }
  if (column) y = y.squeeze(-1);
  if (row) y = y.squeeze(column ? -1 : -2);
  return y;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(weight.ndim() == 2, "linear: weight has shape {}; needed [out, in]", weight.shape());
  check(x.ndim() >= 1 && x.size(-1) == weight.size(1),
        "linear: x is {}, weight is {}; needed x's last dimension to be {}", x.shape(),
        weight.shape(), weight.size(1));
  check(!bias.defined() || bias.shape() == Shape{weight.size(0)},
        "linear: bias has shape {}; needed [{}]", bias.defined() ? bias.shape() : Shape{},
        weight.size(0));
  detail::check_same_device("linear", {x, weight, bias});
  check(x.dtype() == weight.dtype() && (!bias.defined() || bias.dtype() == x.dtype()),
        "linear: dtypes differ; x is {}, weight {}, bias {}; needed one dtype",
        to_string(x.dtype()), to_string(weight.dtype()),
        bias.defined() ? to_string(bias.dtype()) : "absent");
  Shape shape = x.shape();
  shape[shape.ndim() - 1] = weight.size(0);
  const Tensor rows =
      detail::with_contiguous_rows(x.ndim() == 1 ? x.unsqueeze(0) : x.flatten(0, -2));
  Tensor y = allocate("linear", {rows.size(0), weight.size(0)}, x.dtype(), x.device());
  const ConstView bias_view = bias.defined() ? view_of(bias) : ConstView{};
  if (!detail::backend_of(x).linear({view_of(rows), view_of(weight), bias_view, mut_view_of(y)})) {
    composite::count_fallback("linear");
    return composite::linear(x, weight, bias);
  }
  y = record(
      "linear", y, {rows, weight, bias},
      [x = SavedTensor(rows), w = SavedTensor(weight)](const Tensor& dy, const Needs& needs) {
        return TensorList{needs[0] ? matmul(dy, w.get()) : Tensor(),
                          needs[1] ? matmul(dy.transpose(0, 1), x.get()) : Tensor(),
                          needs[2] ? dy.sum(0) : Tensor()};
      });
  return y.reshape(shape);
}

}  // namespace keymix
