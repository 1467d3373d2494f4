// The error book: an example of every message the library can throw, in tables by room and op
// (examples/). Tests hold each example to its words, and docs/errors.md is written from them.
//
//   Section matmul_errors() {
//     const Tensor a = ones({2, 3});
//     return {"ops", "matmul", {
//         {MISUSE(matmul(a, a)), "matmul: inner dimensions differ: …"},
//     }};
//   }
#pragma once

#include "support/temp_folder.h"
#include "support/tensors.h"

#include <functional>
#include <string>
#include <vector>

namespace keymix::testing {

struct Example {
  std::string call;  // C++, as it runs
  std::function<void(const TempFolder& folder)> action;
  std::string message;       // with FOLDER for the path of `folder`
  std::string setting = {};  // words on what the call cannot show, such as what is in a file
};

// The call of an Example: its source and itself. `folder` is a folder of its own.
#define MISUSE(...) \
#__VA_ARGS__,     \
      [=]([[maybe_unused]] const ::keymix::testing::TempFolder& folder) mutable { __VA_ARGS__; }

struct Section {
  std::string room;   // "core", "backends", "autograd", "ops", "nn"
  std::string title;  // ops, types or files
  std::vector<Example> examples;
};

// What the example throws, with FOLDER in the place of its folder's path; or "no error".
std::string thrown_by(const Example& example);

// All sections in the order of the rooms.
std::vector<Section> error_book();

// docs/errors.md.
std::string error_book_text(const std::vector<Section>& book);

// A format that no example provokes, and why.
struct Unprovoked {
  std::string format;
  std::string reason;
};
const std::vector<Unprovoked>& unprovoked();

// The tables, one function a file.
using Sections = std::vector<Section>;
Sections core_errors();
Sections file_errors();
Sections safetensors_errors();
Sections npy_errors();
Sections zip_errors();
Sections backend_errors();
Sections autograd_errors();
Sections create_errors();
Sections shape_errors();
Sections index_errors();
Sections math_errors();
Sections product_errors();
Sections module_errors();
Sections transformer_errors();
Sections optim_errors();
Sections data_errors();
Sections train_errors();

}  // namespace keymix::testing
