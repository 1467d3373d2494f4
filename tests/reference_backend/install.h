// Where the reference backend runs: beside the CPU, on a device of its own, or in its place.
#pragma once

#include "keymix/core/device.h"

namespace keymix::testing {

// custom:0, which a reference backend serves from the first call on. Its memory is out of the
// host's reach.
Device reference_device();

// From now on cpu() is a reference backend. Before the first tensor is made.
void replace_cpu_by_reference();

}  // namespace keymix::testing
