// What language_model does: train, evaluate, generate.
#pragma once

#include <memory>

#include "keymix/nn/optim/adam.h"
#include "keymix/nn/train/trainer.h"
#include "keymix/nn/transformer/language_model.h"
#include "language_model/options.h"
#include "language_model/text.h"

namespace language_model {

// Mean of the loss over all windows of `context` characters that stand side by side in a text.
double mean_loss(keymix::nn::LanguageModel& model, const keymix::Tensor& tokens);

// AdamW as the example uses it: weight decay on tensors of two or more dimensions alone.
keymix::optim::AdamW make_optimizer(const keymix::nn::LanguageModel& model, double weight_decay);

keymix::train::TrainResult train(keymix::nn::LanguageModel& model, const Corpus& corpus,
                                 const Vocabulary& vocabulary, const Options& options,
                                 std::FILE* progress = stdout);

// A model that was trained, in evaluation mode, with its vocabulary.
struct Trained {
  ModelOptions options;
  Vocabulary vocabulary;
  std::unique_ptr<keymix::nn::LanguageModel> model;
};

// `from` is a training's folder (its best weights) or a checkpoint file. Throws keymix::Error when
// there is none, it is damaged, or another program's.
Trained load_trained(const std::string& from);

}  // namespace language_model
