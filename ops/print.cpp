// Printing as PyTorch does it: aligned columns, four decimals (or scientific notation where the
// magnitudes need it), the middle of large tensors left out, defaults not mentioned.
#include "keymix/autograd/node.h"
#include "keymix/ops/create.h"
#include "keymix/ops/detail.h"

#include <algorithm>
#include <cmath>
#include <ostream>

namespace keymix {
namespace {

constexpr std::int64_t kEdgeItems = 3;     // shown at each end of a shortened dimension
constexpr std::int64_t kThreshold = 1000;  // elements above which a tensor is shortened
constexpr std::size_t kLineWidth = 80;

// One element: integers need more digits than a double has.
struct Element {
  double real = 0;
  std::int64_t whole = 0;
};

// How the elements of one tensor are written: the same width for all of them.
class Formatter {
 public:
  Formatter(DType dtype, const std::vector<Element>& shown) : dtype_(dtype) {
    if (is_floating(dtype)) choose_float_style(shown);
    for (const Element& value : shown) width_ = std::max(width_, text(value).size());
  }

  std::string operator()(const Element& value) const {
    return fmt::format("{:>{}}", text(value), width_);
  }
  std::size_t width() const { return width_; }

 private:
  void choose_float_style(const std::vector<Element>& shown) {
    double largest = 0, smallest = INFINITY;
    for (const auto& [value, whole] : shown) {
      if (!std::isfinite(value) || value == 0) continue;
      largest = std::max(largest, std::abs(value));
      smallest = std::min(smallest, std::abs(value));
      whole_ = whole_ && value == std::trunc(value);
    }
    if (largest == 0) return;
    const bool wide = largest / smallest > 1000;
    scientific_ = largest > 1e8 || wide || (!whole_ && smallest < 1e-4);
  }

  std::string text(const Element& element) const {
    const double value = element.real;
    if (dtype_ == bool_) return element.whole != 0 ? "True" : "False";
    if (!is_floating(dtype_)) return fmt::format("{}", element.whole);
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    if (scientific_) return fmt::format("{:.4e}", value);
    return whole_ ? fmt::format("{:.0f}.", value) : fmt::format("{:.4f}", value);
  }

  DType dtype_;
  std::size_t width_ = 1;
  bool whole_ = true;
  bool scientific_ = false;
};

// The indices of one dimension that are shown; -1 stands for the dots.
std::vector<std::int64_t> shown_indices(std::int64_t size, bool shorten) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < size; ++i) {
    if (shorten && size > 2 * kEdgeItems && i == kEdgeItems) {
      indices.push_back(-1);
      i = size - kEdgeItems;
    }
    indices.push_back(i);
  }
  return indices;
}

struct Printer {
  const Tensor& host;  // CPU, detached
  bool shorten;

  Element value_at(std::int64_t offset) const {
    return visit_dtype(host.dtype(), [&](auto tag) -> Element {
      using E = decltype(tag);
      const E value = static_cast<const E*>(view_of(host).data)[offset];
      if constexpr (std::is_integral_v<E>)
        return {0, static_cast<std::int64_t>(value)};
      else if constexpr (sizeof(E) == 2)
        return {static_cast<double>(static_cast<float>(value)), 0};
      else
        return {static_cast<double>(value), 0};
    });
  }

  void collect(std::vector<Element>& values, int dim, std::int64_t offset) const {
    if (dim == host.ndim()) return values.push_back(value_at(offset));
    for (std::int64_t i : shown_indices(host.size(dim), shorten))
      if (i >= 0) collect(values, dim + 1, offset + i * host.strides()[dim]);
  }

  std::string row(const Formatter& format, std::size_t indent, std::int64_t offset) const {
    // `indent` counts the bracket, PyTorch's line width does not.
    const std::size_t per_line =
        std::max<std::size_t>(1, (kLineWidth - indent + 1) / (format.width() + 2));
    std::string text = "[";
    std::size_t on_line = 0;
    bool first = true;
    for (std::int64_t i : shown_indices(host.size(-1), shorten)) {
      if (!first) text += on_line == 0 ? ",\n" + std::string(indent, ' ') : ", ";
      first = false;
      text += i < 0 ? " ..." : format(value_at(offset + i * host.strides().back()));
      on_line = (on_line + 1) % per_line;
    }
    return text + "]";
  }

  std::string block(const Formatter& format, std::size_t indent, int dim,
                    std::int64_t offset) const {
    if (host.ndim() == 0) return format(value_at(0));
    if (dim == host.ndim() - 1) return row(format, indent + 1, offset);
    std::string gap = ",";
    gap.append(static_cast<std::size_t>(host.ndim() - 1 - dim), '\n').append(indent + 1, ' ');
    std::string text = "[";
    bool first = true;
    for (std::int64_t i : shown_indices(host.size(dim), shorten)) {
      if (!first) text += gap;
      first = false;
      text += i < 0 ? "..." : block(format, indent + 1, dim + 1, offset + i * host.strides()[dim]);
    }
    return text + "]";
  }
};

}  // namespace

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return "tensor(undefined)";
  const Tensor host = tensor.detach().to(cpu());
  std::string text = "tensor(";
  if (host.numel() == 0) {
    text += "[]";
    if (host.shape() != Shape{0}) text += fmt::format(", size={}", host.shape());
  } else {
    const Printer printer{host, host.numel() > kThreshold};
    std::vector<Element> values;
    printer.collect(values, 0, 0);
    text += printer.block(Formatter(host.dtype(), values), text.size(), 0, 0);
  }
  const DType dtype = tensor.dtype();
  const bool usual = dtype == float32 || (host.numel() > 0 && (dtype == int64 || dtype == bool_));
  if (!usual) text += fmt::format(", dtype={}", to_string(dtype));
  if (tensor.device().kind != DeviceKind::cpu)
    text += fmt::format(", device='{}'", to_string(tensor.device()));
  if (tensor.requires_grad())
    text += tensor.is_leaf() ? ", requires_grad=True"
                             : fmt::format(", grad_fn=<{}>", tensor.impl().node->op);
  return text + ")";
}

std::ostream& operator<<(std::ostream& stream, const Tensor& tensor) {
  return stream << to_string(tensor);
}

}  // namespace keymix
