// Matrix products. float32 products of ordinary sizes go to our own kernel (gemm.h), which packs
// once what BLAS packs for every panel; for the others BLAS computes panels, and the thread pool
// shares them out. Who computes a product and how it is cut depends on its shape alone, so the bits
// don't depend on the number of threads.
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/blas.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/gemm.h"
#include "keymix/backends/cpu/integer_math.h"
#include "keymix/backends/cpu/parallel.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace keymix::cpu_backend {
namespace {

// Batches of matrices: element (i, j) of batch t lies at data + offset(t) + i row + j column.
template <typename T>
struct Matrices {
  T* data;
  std::int64_t row, column;  // strides
  Shape batch;               // strides of the batch dimensions
};

// y [m, n] = a [m, k] b [k, n], for every batch.
template <typename T>
struct Problem {
  std::int64_t m, n, k;
  Shape batch;
  Matrices<const T> a, b;
  Matrices<T> y;
};

template <typename T, typename View>
Matrices<T> matrices_of(const View& view) {
  const int ndim = view.shape.ndim();
  Shape batch;
  for (int d = 0; d < ndim - 2; ++d) batch.push_back(view.strides[d]);
  return {view.template as<std::remove_const_t<T>>(), view.strides[ndim - 2],
          view.strides[ndim - 1], batch};
}

// How BLAS sees a matrix of these strides; nothing if it can't without a copy.
struct Layout {
  Transpose transpose;
  std::int64_t ld;
};

std::optional<Layout> blas_layout(std::int64_t rows, std::int64_t columns, std::int64_t row,
                                  std::int64_t column) {
  constexpr std::int64_t kMaxLd = std::numeric_limits<int>::max();
  // The stride of a single row or column means nothing.
  if (rows <= 1) row = std::max<std::int64_t>(columns, 1);
  if (columns <= 1) column = 1;
  if (column == 1 && row >= columns && row <= kMaxLd) return Layout{Transpose::no, row};
  if (columns <= 1) column = std::max<std::int64_t>(rows, 1);
  if (rows <= 1) row = 1;
  if (row == 1 && column >= rows && column <= kMaxLd) return Layout{Transpose::yes, column};
  return std::nullopt;
}

template <typename T>
std::int64_t batch_offset(const Shape& batch, const Matrices<T>& matrices, std::int64_t index) {
  std::int64_t offset = 0;
  for (int d = batch.ndim() - 1; d >= 0; --d) {
    offset += index % batch[d] * matrices.batch[d];
    index /= batch[d];
  }
  return offset;
}

template <typename T>
void swap_operands(Problem<T>& p) {  // y^T = b^T a^T
  std::swap(p.m, p.n);
  std::swap(p.a, p.b);
  std::swap(p.a.row, p.a.column);
  std::swap(p.b.row, p.b.column);
  std::swap(p.y.row, p.y.column);
}

// Batches that share b and whose rows follow each other in a and y are one taller product.
template <typename T>
void fold_batches(Problem<T>& p) {
  while (p.batch.ndim() > 0) {
    const int last = p.batch.ndim() - 1;
    const std::int64_t size = p.batch[last];
    const std::int64_t a_step = p.a.batch[last], y_step = p.y.batch[last];
    if (size != 1) {
      if (p.m == 1) p.a.row = a_step, p.y.row = y_step;
      if (p.b.batch[last] != 0 || a_step != p.m * p.a.row || y_step != p.m * p.y.row) return;
      p.m *= size;
    }
    for (Shape* shape : {&p.batch, &p.a.batch, &p.b.batch, &p.y.batch}) shape->erase(last);
  }
}

// --- How the work is cut ---

// Nanoseconds that leave BLAS little to pack, which smaller panels repeat more often; a packed
// product that takes longer shares out its own parts.
constexpr double kLongTaskTime = 1e6;
constexpr double kManyTasks = 16, kMaxTasks = 64;
constexpr std::int64_t kMinPanel = 64;
// A part of a long inner dimension must be worth the extra pass over its partial result.
constexpr std::int64_t kMinInnerPart = 512, kMaxInnerParts = 16, kMaxPartialSize = 512 * 512;

// A rough time of one BLAS call, in nanoseconds, on one core of an ordinary machine. Its only use
// is the size of tasks.
double product_time(std::int64_t m, std::int64_t n, std::int64_t k, std::size_t element_size) {
  const auto dm = static_cast<double>(m), dn = static_cast<double>(n), dk = static_cast<double>(k);
  const double flops = 2 * dm * dn * dk, touched = dm * dk + dk * dn + dm * dn;
  return 300 + (flops / 320 + touched / 40) * static_cast<double>(element_size);
}

struct Cut {
  std::int64_t rows, columns;               // of a panel
  std::int64_t row_panels, column_panels;   // of a product
  std::int64_t inner_parts = 1, inner = 0;  // parts of k, and the length of one
  std::int64_t grain = 1;                   // panels to a task

  std::int64_t panels() const { return row_panels * column_panels; }
};

Cut cut_product(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t batches,
                std::size_t element_size, bool may_cut_inner) {
  const double time = product_time(m, n, k, element_size) * static_cast<double>(batches);
  const auto wanted = static_cast<std::int64_t>(std::max(
      std::clamp(time / kTaskTime, 1.0, kManyTasks), std::min(time / kLongTaskTime, kMaxTasks)));
  Cut cut{m, n, 1, 1, 1, k, 1};
  if (may_cut_inner && batches == 1 && m * n <= kMaxPartialSize && k >= 4 * std::max(m, n)) {
    const std::int64_t parts = std::min({wanted, k / kMinInnerPart, kMaxInnerParts});
    if (parts > 1) {
      cut.inner = ceil_div(ceil_div(k, parts), 16) * 16;
      cut.inner_parts = ceil_div(k, cut.inner);
      return cut;
    }
  }
  // Halving the longer side keeps panels square, which repacks the operands least.
  while (cut.panels() * batches < wanted) {
    std::int64_t& side = cut.rows >= cut.columns ? cut.rows : cut.columns;
    if (side <= kMinPanel) break;
    side = std::max(kMinPanel, ceil_div(ceil_div(side, 2), 16) * 16);
    cut.row_panels = ceil_div(m, cut.rows);
    cut.column_panels = ceil_div(n, cut.columns);
  }
  const double panel_time = product_time(cut.rows, cut.columns, k, element_size);
  cut.grain = std::max<std::int64_t>(1, static_cast<std::int64_t>(kTaskTime / panel_time));
  return cut;
}

// --- Floating-point products ---

// One product of known layouts: calls BLAS for a panel.
template <typename T>
struct BlasProduct {
  const T* a;
  const T* b;
  Layout a_layout, b_layout;

  const T* a_at(std::int64_t i, std::int64_t l) const {
    return a + (a_layout.transpose == Transpose::no ? i * a_layout.ld + l : l * a_layout.ld + i);
  }
  const T* b_at(std::int64_t l, std::int64_t j) const {
    return b + (b_layout.transpose == Transpose::no ? l * b_layout.ld + j : j * b_layout.ld + l);
  }
  void operator()(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t columns,
                  std::int64_t k, Accumulate accumulate, T* y, std::int64_t y_ld) const {
    gemm(a_layout.transpose, b_layout.transpose, rows, columns, k, T{1}, a_at(i, 0), a_layout.ld,
         b_at(0, j), b_layout.ld, accumulate, y, y_ld);
  }
};

// A single product cut along k: partial results side by side, then added in order.
template <typename T>
void run_inner_parts(const BlasProduct<T>& product, std::int64_t m, std::int64_t n, std::int64_t k,
                     T* y, std::int64_t y_ld, const Cut& cut) {
  const std::int64_t size = m * n;
  const Scratch<T> partial(static_cast<std::size_t>(cut.inner_parts * size));
  parallel_for(cut.inner_parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) {
      const std::int64_t l = part * cut.inner;
      multiply(product.a_layout.transpose, product.b_layout.transpose, m, n,
               std::min(cut.inner, k - l), product.a_at(0, l), product.a_layout.ld,
               product.b_at(l, 0), product.b_layout.ld, Accumulate::no,
               partial.data() + part * size, n);
    }
  });
  parallel_for(m, std::max<std::int64_t>(1, 16384 / n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* row = y + i * y_ld;
      std::copy_n(partial.data() + i * n, n, row);
      for (std::int64_t part = 1; part < cut.inner_parts; ++part) {
        const T* addend = partial.data() + part * size + i * n;
        for (std::int64_t j = 0; j < n; ++j) row[j] += addend[j];
      }
    }
  });
}

// Product `t` of a problem whose y is row-major.
PackedProduct packed_of(const Problem<float>& p, std::int64_t t) {
  return {p.m,
          p.n,
          p.k,
          p.a.data + batch_offset(p.batch, p.a, t),
          p.a.row,
          p.a.column,
          p.b.data + batch_offset(p.batch, p.b, t),
          p.b.row,
          p.b.column,
          nullptr,
          p.y.data + batch_offset(p.batch, p.y, t),
          p.y.row};
}

// Small products are handed out whole; large ones, one after the other, share their parts out.
void run_packed_products(const Problem<float>& p) {
  const std::int64_t batches = p.batch.numel();
  const double time = product_time(p.m, p.n, p.k, sizeof(float));
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) packed_product(packed_of(p, t));
  };
  if (batches == 1 || time >= kLongTaskTime) return run(0, batches);
  parallel_for(batches, static_cast<std::int64_t>(std::max(1.0, kTaskTime / time)), run);
}

// y is row-major, k > 0, and no size is 0.
template <typename T>
void run_products(const Problem<T>& p, Layout a_layout, Layout b_layout, std::int64_t y_ld) {
  const std::int64_t batches = p.batch.numel();
  const Cut cut = cut_product(p.m, p.n, p.k, batches, sizeof(T), true);
  if (cut.inner_parts > 1)
    return run_inner_parts<T>({p.a.data, p.b.data, a_layout, b_layout}, p.m, p.n, p.k, p.y.data,
                              y_ld, cut);
  if constexpr (std::is_same_v<T, float>)
    if (suits_packed_product(packed_of(p, 0))) return run_packed_products(p);
  parallel_for(batches * cut.panels(), cut.grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t t = task / cut.panels(), panel = task % cut.panels();
      const std::int64_t i = panel / cut.column_panels * cut.rows;
      const std::int64_t j = panel % cut.column_panels * cut.columns;
      const BlasProduct<T> product{p.a.data + batch_offset(p.batch, p.a, t),
                                   p.b.data + batch_offset(p.batch, p.b, t), a_layout, b_layout};
      product(i, std::min(cut.rows, p.m - i), j, std::min(cut.columns, p.n - j), p.k,
              Accumulate::no, p.y.data + batch_offset(p.batch, p.y, t) + i * y_ld + j, y_ld);
    }
  });
}

// A dense copy of an operand in another dtype or layout; broadcast batch dimensions stay broadcast.
struct DenseCopy {
  std::unique_ptr<Scratch<std::byte>> storage;
  MutView view;

  // Memory for a view like `like`.
  DenseCopy(const ConstView& like, DType dtype) {
    Shape stored = like.shape;
    for (int d = 0; d < stored.ndim() - 2; ++d)
      if (like.strides[d] == 0) stored[d] = 1;
    const auto bytes = static_cast<std::size_t>(stored.numel()) * size_of(dtype);
    storage = std::make_unique<Scratch<std::byte>>(bytes);
    view = {storage->data(), stored, row_major_strides(stored), dtype};
  }
  void fill_from(CpuBackend& backend, ConstView source) {
    source.shape = view.shape;
    backend.copy(view, source);
    // As the product sees it.
    for (int d = 0; d < view.shape.ndim() - 2; ++d)
      if (view.shape[d] == 1) view.strides[d] = 0;
  }
};

template <typename T>
void float_matmul(CpuBackend& backend, const MutView& y, const ConstView& a, const ConstView& b) {
  const int ndim = y.shape.ndim();
  Shape batch = y.shape;
  batch.erase(ndim - 1);
  batch.erase(ndim - 2);
  Problem<T> p{y.shape[ndim - 2],       y.shape[ndim - 1],       a.shape[ndim - 1], batch,
               matrices_of<const T>(a), matrices_of<const T>(b), matrices_of<T>(y)};
  fold_batches(p);
  std::optional<Layout> y_layout = blas_layout(p.m, p.n, p.y.row, p.y.column);
  const std::optional<Layout> a_layout = blas_layout(p.m, p.k, p.a.row, p.a.column);
  const std::optional<Layout> b_layout = blas_layout(p.k, p.n, p.b.row, p.b.column);

  // What strides can't express is copied; the rest of this function then runs once more, without.
  if (!y_layout) {
    DenseCopy dense({y.data, y.shape, row_major_strides(y.shape), y.dtype}, y.dtype);
    float_matmul<T>(backend, dense.view, a, b);
    return backend.copy(y, dense.view);
  }
  if (!a_layout || !b_layout) {
    const bool copies_a = !a_layout;
    DenseCopy dense(copies_a ? a : b, y.dtype);
    dense.fill_from(backend, copies_a ? a : b);
    return copies_a ? float_matmul<T>(backend, y, dense.view, b)
                    : float_matmul<T>(backend, y, a, dense.view);
  }
  if (y_layout->transpose == Transpose::yes) {
    swap_operands(p);
    const auto flip = [](Layout layout) {
      return Layout{layout.transpose == Transpose::yes ? Transpose::no : Transpose::yes, layout.ld};
    };
    return run_products(p, flip(*b_layout), flip(*a_layout), y_layout->ld);
  }
  run_products(p, *a_layout, *b_layout, y_layout->ld);
}

// float16 and bfloat16: in float32, rounded once at the end.
void half_matmul(CpuBackend& backend, const MutView& y, const ConstView& a, const ConstView& b) {
  DenseCopy wide_a(a, float32), wide_b(b, float32);
  wide_a.fill_from(backend, a);
  wide_b.fill_from(backend, b);
  const DenseCopy wide_y({y.data, y.shape, row_major_strides(y.shape), y.dtype}, float32);
  float_matmul<float>(backend, wide_y.view, wide_a.view, wide_b.view);
  backend.copy(y, wide_y.view);
}

// Integers wrap around, as everywhere: unsigned arithmetic, which is defined to.
template <typename T>
void integer_matmul(const MutView& y, const ConstView& a, const ConstView& b) {
  using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  const int ndim = y.shape.ndim();
  Shape batch = y.shape;
  batch.erase(ndim - 1);
  batch.erase(ndim - 2);
  const Problem<T> p{y.shape[ndim - 2],       y.shape[ndim - 1],       a.shape[ndim - 1], batch,
                     matrices_of<const T>(a), matrices_of<const T>(b), matrices_of<T>(y)};
  const std::int64_t grain =
      std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, p.n * p.k));
  parallel_for(batch.numel() * p.m, grain, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<U> sums(static_cast<std::size_t>(p.n));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t t = task / p.m, i = task % p.m;
      const T* a_row = p.a.data + batch_offset(batch, p.a, t) + i * p.a.row;
      const T* b_rows = p.b.data + batch_offset(batch, p.b, t);
      T* y_row = p.y.data + batch_offset(batch, p.y, t) + i * p.y.row;
      std::fill_n(sums.data(), p.n, U{0});
      for (std::int64_t l = 0; l < p.k; ++l) {
        const U factor = static_cast<U>(a_row[l * p.a.column]);
        const T* b_row = b_rows + l * p.b.row;
        for (std::int64_t j = 0; j < p.n; ++j)
          sums.data()[j] += factor * static_cast<U>(b_row[j * p.b.column]);
      }
      for (std::int64_t j = 0; j < p.n; ++j) y_row[j * p.y.column] = static_cast<T>(sums.data()[j]);
    }
  });
}

template <typename T>
bool float_linear(const LinearArgs& args) {
  const std::int64_t rows = args.y.shape[0], out = args.y.shape[1], in = args.x.shape[1];
  const auto x_layout = blas_layout(rows, in, args.x.strides[0], args.x.strides[1]);
  const auto w_layout = blas_layout(out, in, args.weight.strides[0], args.weight.strides[1]);
  const auto y_layout = blas_layout(rows, out, args.y.strides[0], args.y.strides[1]);
  if (!x_layout || !w_layout || !y_layout || y_layout->transpose == Transpose::yes) return false;
  if (args.bias && out > 1 && args.bias.strides[0] != 1) return false;
  if (rows == 0 || out == 0) return true;
  if constexpr (std::is_same_v<T, float>) {
    const PackedProduct product{rows,
                                out,
                                in,
                                args.x.as<T>(),
                                args.x.strides[0],
                                args.x.strides[1],
                                args.weight.as<T>(),
                                args.weight.strides[1],
                                args.weight.strides[0],
                                args.bias.as<T>(),
                                args.y.as<T>(),
                                y_layout->ld};
    if (suits_packed_product(product)) {
      packed_product(product);
      return true;
    }
  }

  const Layout weight{w_layout->transpose == Transpose::yes ? Transpose::no : Transpose::yes,
                      w_layout->ld};
  const BlasProduct<T> product{args.x.as<T>(), args.weight.as<T>(), *x_layout, weight};
  const T* bias = args.bias.as<T>();
  const Cut cut = cut_product(rows, out, in, 1, sizeof(T), false);
  parallel_for(cut.panels(), cut.grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t i = panel / cut.column_panels * cut.rows, m = std::min(cut.rows, rows - i);
      const std::int64_t j = panel % cut.column_panels * cut.columns,
                         n = std::min(cut.columns, out - j);
      T* y = args.y.as<T>() + i * y_layout->ld + j;
      if (bias != nullptr)
        for (std::int64_t r = 0; r < m; ++r) std::copy_n(bias + j, n, y + r * y_layout->ld);
      product(i, m, j, n, in, bias != nullptr ? Accumulate::yes : Accumulate::no, y, y_layout->ld);
    }
  });
  return true;
}

}  // namespace

void CpuBackend::matmul(const MutView& y, const ConstView& a, const ConstView& b) {
  if (y.shape.numel() == 0) return;
  if (a.shape.back() == 0) return fill(y, 0);  // sums of nothing
  switch (y.dtype) {
    case DType::float32:
      return float_matmul<float>(*this, y, a, b);
    case DType::float64:
      return float_matmul<double>(*this, y, a, b);
    case DType::float16:
    case DType::bfloat16:
      return half_matmul(*this, y, a, b);
    case DType::uint8:
      return integer_matmul<std::uint8_t>(y, a, b);
    case DType::int32:
      return integer_matmul<std::int32_t>(y, a, b);
    case DType::int64:
      return integer_matmul<std::int64_t>(y, a, b);
    case DType::bool_:
      break;
  }
  fail("matmul: the CPU has no kernel for bool; needed an integer or floating dtype");
}

bool CpuBackend::linear(const LinearArgs& args) {
  if (args.y.dtype == float32) return float_linear<float>(args);
  if (args.y.dtype == float64) return float_linear<double>(args);
  return false;
}

}  // namespace keymix::cpu_backend
