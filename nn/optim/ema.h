// Ema: an exponential moving average of a model's weights, which often evaluates better than the
// weights themselves (Polyak and Juditsky 1992):
//
//   optim::Ema ema(model.parameters(), {.decay = 0.999});
//   … adam.step(rate(step)); ema.update();
//   { const optim::Ema::Applied averaged(ema); evaluate(model); }   // and back
#pragma once

#include "keymix/core/safetensors.h"
#include "keymix/nn/module.h"

namespace keymix::optim {

struct EmaOptions {
  double decay = 0.999;
};

class Ema {
 public:
  // Begins at the parameters' values. Throws Error unless 0 <= decay < 1.
  explicit Ema(nn::ParameterList parameters, EmaOptions options = {});

  // average = decay average + (1 - decay) parameter.
  void update();

  // While it lives the model has the averaged weights; what it learnt comes back at the end.
  //
  //   {
  //     const optim::Ema::Applied averaged(ema);
  //     accuracy = evaluate(model);
  //   }
  class Applied {
   public:
    explicit Applied(Ema& ema) : ema_(ema) { ema_.swap(); }
    ~Applied() { ema_.swap(); }
    Applied(const Applied&) = delete;
    Applied& operator=(const Applied&) = delete;

   private:
    Ema& ema_;
  };

  // The averages, by parameter name. They share memory with this object.
  NamedTensors state_dict() const;
  // Throws Error, and changes nothing, when names or shapes differ.
  void load_state_dict(const NamedTensors& state);

 private:
  void swap();

  nn::ParameterList parameters_;
  TensorList averages_;
  double decay_;
};

}  // namespace keymix::optim
