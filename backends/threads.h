// How many threads share the work of the CPU's kernels. No result depends on it.
//
//   set_num_threads(4);
#pragma once

namespace keymix {

// The caller's thread included. At first KEYMIX_THREADS, or the CPUs that this process may use.
int num_threads();
// Throws Error unless 1 <= count <= 256, and when called from inside a parallel loop.
void set_num_threads(int count);

}  // namespace keymix
