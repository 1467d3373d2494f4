// Errors of the CPU backend. Most ops refuse what it cannot do before they come to it: those below
// are what a caller of the backend itself sees too.
#include "errors/error_book.h"
#include "keymix/backends/cpu/allocator.h"
#include "keymix/backends/cpu/cpu_backend.h"
#include "keymix/backends/cpu/parallel.h"
#include "keymix/backends/threads.h"
#include "keymix/backends/registry.h"
#include "keymix/ops/create.h"

namespace keymix::testing {
namespace {

Section kernel_section() {
  const std::shared_ptr<Backend> backend = cpu_backend::make_cpu_backend();
  const Tensor ints = arange(2), flags = ints > 0, floats = ones({2});
  const Tensor squares = zeros({2, 2}, {.dtype = bool_}), lists = zeros({2}, {.dtype = int64});
  const MutView y = mut_view_of(ints), f = mut_view_of(floats), b = mut_view_of(flags);
  const MutView bb = mut_view_of(squares), index = mut_view_of(lists);
  return {"backends",
          "CPU kernels",
          {
              {MISUSE(backend->unary(UnaryOp::exp, y, y, {})),
               "exp: the CPU has no kernel for int64; needed a floating dtype",
               "y: views of int64 tensors"},
              {MISUSE(backend->binary(BinaryOp::div, y, y, y)),
               "div: the CPU has no kernel for int64; needed a floating dtype"},
              {MISUSE(backend->where(f, f, f, f)), "where: the condition is float32; needed bool",
               "f: views of float32 tensors"},
              {MISUSE(backend->matmul(bb, bb, bb)),
               "matmul: the CPU has no kernel for bool; needed an integer or floating dtype",
               "bb: views of bool matrices"},
              {MISUSE(backend->scatter_add(b, index, b, 0)),
               "scatter_add: bool elements cannot be added; needed an integer or floating dtype",
               "b: views of bool vectors"},
              {MISUSE(backend->random(RandomKind::normal, y, {}, {})),
               "normal: the CPU has no kernel for int64; needed a floating dtype"},
              {MISUSE(backend->random(RandomKind::randint, f, {}, {.low = 0, .high = 9})),
               "randint: the CPU has no kernel for float32; needed an integer dtype"},
          }};
}

Section machine_section() {
  return {"backends",
          "Memory and threads",
          {
              {MISUSE(cpu_backend::HostAllocator({}).allocate(~std::size_t{0})),
               "allocate: more memory than there can be; got 18446744073709551615 bytes; needed at "
               "most 4611686018427387904"},
              {MISUSE(set_num_threads(0)),
               "set_num_threads: impossible number; got 0 threads; needed 1 to 256"},
              {MISUSE(cpu_backend::parallel_for(
                   4, 1, [](std::int64_t, std::int64_t) { set_num_threads(1); })),
               "set_num_threads: called from inside a parallel loop; needed outside of one"},
          }};
}

}  // namespace

Sections backend_errors() { return {kernel_section(), machine_section()}; }

}  // namespace keymix::testing
