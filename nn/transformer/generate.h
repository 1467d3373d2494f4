// Text from a language model, token by token:
//
//   for (std::int64_t token : generate(model, prompt, {.length = 200, .top_k = 20}, rng))
//     std::cout << decode(token) << std::flush;
//
// Each token is drawn when the loop asks for it. Keys and values of earlier positions are kept, so
// a token costs one position; when the model's context is full, each token is predicted from the
// last `context` tokens anew.
#pragma once

#include "keymix/nn/transformer/language_model.h"

#include <iterator>

namespace keymix {

struct GenerateOptions {
  std::int64_t length = 100;  // tokens to draw
  double temperature = 1.0;   // divides the logits; 0: always the likeliest token
  std::int64_t top_k = 0;     // draw among the k likeliest; 0: among all
  double top_p = 1.0;         // and among the likeliest that together have this probability
};

// Draws an index by softmax(logits / temperature), cut by top_k and top_p (Holtzman et al. 2020).
// logits [vocab]. The generator advances by one number, none for temperature 0. Throws Error on
// logits that are not finite, a negative temperature or top_k, or top_p outside (0, 1].
std::int64_t sample(const Tensor& logits, const GenerateOptions& options, Generator& rng);

// The tokens after `prompt`, as a range that is walked once. Holds references to model and rng.
//
//   Generation text = generate(model, prompt, {.length = 200, .top_p = 0.9}, rng);
//   for (std::int64_t token : text) std::cout << decode(token);
class Generation {
 public:
  Generation(nn::LanguageModel& model, std::vector<std::int64_t> prompt, GenerateOptions options,
             Generator& rng);

  // Goes on with the text when it moves.
  //
  //   Generation::Iterator token = generation.begin();
  //   ++token;
  class Iterator {
   public:
    using value_type = std::int64_t;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Generation& generation) : generation_(&generation) {}
    std::int64_t operator*() const { return generation_->tokens_.back(); }
    Iterator& operator++() {
      generation_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const {
      return generation_->drawn_ > generation_->options_.length;
    }

   private:
    Generation* generation_;
  };

  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  void advance();
  Tensor next_logits();

  nn::LanguageModel& model_;
  GenerateOptions options_;
  Generator& rng_;
  std::vector<std::int64_t> tokens_;  // prompt and what followed
  nn::LanguageModelState state_;
  std::int64_t drawn_ = 0;
};

// Throws Error when the prompt is empty or has a token outside the vocabulary, when length is
// negative, and as sample(). The model keeps the mode (train, eval) that it is in: eval() it first.
Generation generate(nn::LanguageModel& model, std::vector<std::int64_t> prompt,
                    GenerateOptions options, Generator& rng);

}  // namespace keymix
