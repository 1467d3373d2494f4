// The first elements of each line in order, with their positions. Every element becomes an unsigned
// key whose order is that of the values; a key and its position are sorted as one number. So no two
// entries are equal: any sort is a stable one, and the result is unique.
#include "keymix/backends/cpu/convert.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/elementwise.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <vector>

namespace keymix::cpu_backend {
namespace {

// The bits of an IEEE number, ordered as unsigned: negative ones are flipped, the others go above
// them. Both zeros are one value, and every NaN is the largest.
template <typename Key, typename T>
Key float_key(T x) {
  if (x != x) return std::numeric_limits<Key>::max();
  constexpr Key kSign = Key{1} << (8 * sizeof(Key) - 1);
  const Key bits = std::bit_cast<Key>(x == T(0) ? T(0) : x);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

template <typename T>
auto order_key(T x) {
  if constexpr (std::is_same_v<T, double>)
    return float_key<std::uint64_t>(x);
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return static_cast<std::uint64_t>(x) ^ (std::uint64_t{1} << 63);
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return static_cast<std::uint32_t>(x) ^ (std::uint32_t{1} << 31);
  else if constexpr (std::is_same_v<T, std::uint8_t> || std::is_same_v<T, BoolByte>)
    return convert_value<std::uint32_t>(x);
  else
    return float_key<std::uint32_t>(convert_value<float>(x));
}

// Key and position in one word, for short keys and lines of fewer than 2^32 elements.
struct PackedEntry {
  std::uint64_t word;

  PackedEntry() = default;
  PackedEntry(std::uint64_t key, std::int64_t position)
      : word(key << 32 | static_cast<std::uint64_t>(position)) {}
  std::int64_t position() const { return static_cast<std::int64_t>(word & 0xffffffffu); }
  friend bool operator<(PackedEntry a, PackedEntry b) { return a.word < b.word; }
};

struct WideEntry {
  std::uint64_t key;
  std::int64_t at;

  WideEntry() = default;
  WideEntry(std::uint64_t key_, std::int64_t position) : key(key_), at(position) {}
  std::int64_t position() const { return at; }
  friend bool operator<(const WideEntry& a, const WideEntry& b) {
    return a.key != b.key ? a.key < b.key : a.at < b.at;
  }
};

// What the lines have in common; steps along them are in bytes.
struct LineForm {
  std::int64_t length, taken;
  std::int64_t x_step, values_step, indices_step;
  bool descending;
};

struct Line {
  std::byte *values, *indices;
  const std::byte* x;
};

// Brings the `taken` smallest entries to the front, in order. Not inlined: the sort is the same for
// every element type, and compiling it for each would double what this file takes.
template <typename Entry>
[[gnu::noinline]] void order_first(std::vector<Entry>& entries, std::int64_t taken) {
  const auto end = entries.begin() + taken;
  // A few of many: a selection in linear time first.
  if (end != entries.end()) std::nth_element(entries.begin(), end, entries.end());
  std::sort(entries.begin(), end);
}

template <typename T, typename Entry>
void sort_line(const LineForm& form, const Line& line, std::vector<Entry>& entries) {
  const auto element = [&](std::int64_t i) -> const T& {
    return *reinterpret_cast<const T*>(line.x + i * form.x_step);
  };
  entries.resize(static_cast<std::size_t>(form.length));
  for (std::int64_t i = 0; i < form.length; ++i) {
    const auto key = order_key(element(i));
    using Key = std::remove_const_t<decltype(key)>;
    entries[static_cast<std::size_t>(i)] = Entry(form.descending ? static_cast<Key>(~key) : key, i);
  }
  order_first(entries, form.taken);
  for (std::int64_t i = 0; i < form.taken; ++i) {
    const std::int64_t from = entries[static_cast<std::size_t>(i)].position();
    *reinterpret_cast<T*>(line.values + i * form.values_step) = element(from);
    *reinterpret_cast<std::int64_t*>(line.indices + i * form.indices_step) = from;
  }
}

template <typename T, typename Entry>
void sort_lines(const StridedLoop<3>& starts, const LineForm& form) {
  const std::int64_t grain = std::max<std::int64_t>(1, kScalarGrain / form.length);
  parallel_runs(starts, grain, [&](const auto& data, std::int64_t count, std::int64_t) {
    std::vector<Entry> entries;
    for (std::int64_t i = 0; i < count; ++i)
      sort_line<T>(form,
                   {data[0] + i * starts.inner_stride(0), data[1] + i * starts.inner_stride(1),
                    data[2] + i * starts.inner_stride(2)},
                   entries);
  });
}

}  // namespace

void CpuBackend::sort(const MutView& values, const MutView& indices, const ConstView& x, int dim,
                      bool descending) {
  if (values.shape.numel() == 0) return;
  const auto step = [dim](const auto& view) {
    return view.strides[dim] * static_cast<std::int64_t>(size_of(view.dtype));
  };
  const LineForm form{x.shape[dim], values.shape[dim], step(x),
                      step(values), step(indices),     descending};
  const auto first = [dim](auto view) {
    view.shape[dim] = 1;
    return view;
  };
  const auto starts = make_loop(LoopOrder::any, first(values), first(indices), first(x));
  constexpr std::int64_t kPackedLength = std::int64_t{1} << 32;
  visit_element(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (sizeof(order_key(T{})) == 4)
      if (form.length <= kPackedLength) return sort_lines<T, PackedEntry>(starts, form);
    sort_lines<T, WideEntry>(starts, form);
  });
}

}  // namespace keymix::cpu_backend
