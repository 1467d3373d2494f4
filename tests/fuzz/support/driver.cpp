// Runs a target on mutated seeds:  seeded_NAME [--seed S] [--seconds T] [--runs N] [--only I]
//                                   seeded_NAME --write-seeds FOLDER | FILE...
//
// Input i is a function of the seed and i alone, so a failure comes back by --only i, whose bytes
// are kept in a file. With FILEs it reads those, to try what libFuzzer found, or a kept input.
#include "fuzz/support/fuzz.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <random>

// AddressSanitizer ends the process by itself; this is where it says so first.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace keymix::fuzz {
namespace {

// Its numbers are fixed by the standard; those of the standard's distributions are not.
using Random = std::mt19937_64;

std::string current;     // the input being read
char failure_text[320];  // where to find it, made before it is read: a signal handler can't
char failure_path[96];

std::size_t below(Random& random, std::size_t count) { return random() % count; }

// Lengths and offsets near which readers go wrong.
std::uint64_t telling_number(Random& random, std::uint64_t was, std::size_t size) {
  const std::uint64_t numbers[] = {0,
                                   1,
                                   0x7f,
                                   0xff,
                                   0x7fff,
                                   0xffff,
                                   0x7fffffff,
                                   0xffffffff,
                                   0x7fffffffffffffff,
                                   0xffffffffffffffff,
                                   0x4000000000000001,
                                   size,
                                   was + 1,
                                   was - 1,
                                   was * 2,
                                   was + size};
  return numbers[below(random, std::size(numbers))];
}

// A little-endian field of 1, 2, 4 or 8 bytes, as zip, npy and safetensors have.
void edit_binary_length(Random& random, std::string& bytes) {
  const std::size_t width = std::size_t{1} << below(random, 4);
  if (bytes.size() < width) return;
  const std::size_t at = below(random, bytes.size() - width + 1);
  std::uint64_t was = 0;
  std::memcpy(&was, bytes.data() + at, width);
  const std::uint64_t is = telling_number(random, was, bytes.size());
  std::memcpy(bytes.data() + at, &is, width);
}

// A decimal number in text, such as a shape or an offset in a header. Every other time the text
// keeps its length, so that the fields around it stay right.
void edit_decimal(Random& random, std::string& bytes) {
  const std::size_t start = bytes.empty() ? 0 : below(random, bytes.size());
  const std::size_t at = bytes.find_first_of("0123456789", start);
  if (at == std::string::npos) return;
  const std::size_t end = std::min(bytes.find_first_not_of("0123456789", at), bytes.size());
  if (random() % 2 == 0) {
    bytes[at + below(random, end - at)] = static_cast<char>('0' + below(random, 10));
  } else {
    std::uint64_t was = 0;
    for (std::size_t i = at; i < end && i < at + 18; ++i)
      was = was * 10 + static_cast<std::uint64_t>(bytes[i] - '0');
    bytes.replace(at, end - at, fmt::format("{}", telling_number(random, was, bytes.size())));
  }
}

// A piece of one of the seeds, put in or written over.
void splice(Random& random, std::string& bytes, const std::vector<std::string>& seeds) {
  const std::string& from = seeds[below(random, seeds.size())];
  const std::size_t start = below(random, from.size() + 1);
  const std::string piece = from.substr(start, below(random, from.size() - start + 1));
  const std::size_t at = below(random, bytes.size() + 1);
  bytes.replace(at, random() % 2 == 0 ? 0 : std::min(piece.size(), bytes.size() - at), piece);
}

void mutate(Random& random, std::string& bytes, const std::vector<std::string>& seeds) {
  const std::size_t at = bytes.empty() ? 0 : below(random, bytes.size());
  switch (random() % 8) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (!bytes.empty()) bytes[at] = static_cast<char>(random());
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.erase(at, 1 + below(random, 16));
      break;
    case 4:
      bytes.insert(at, bytes.substr(at, 1 + below(random, 64)));
      break;
    case 5:
      splice(random, bytes, seeds);
      break;
    case 6:
      edit_binary_length(random, bytes);
      break;
    default:
      edit_decimal(random, bytes);
      break;
  }
  if (bytes.size() > 1 << 16) bytes.resize(1 << 16);
}

std::string make_input(std::uint64_t seed, std::uint64_t i, const std::vector<std::string>& seeds) {
  Random random(seed * 0x9e3779b97f4a7c15 + i);
  std::string bytes = seeds[below(random, seeds.size())];
  for (std::size_t n = 1 + below(random, 4); n > 0; --n) mutate(random, bytes, seeds);
  return bytes;
}

// Safe in a signal handler: the text is ready, and only system calls are made.
void keep_failure() {
  const int file = ::open(failure_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  bool written = file >= 0 && ::write(file, current.data(), current.size()) >= 0;
  written = ::write(STDERR_FILENO, failure_text, std::strlen(failure_text)) >= 0 && written;
  if (file >= 0) ::close(file);
  if (!written) std::_Exit(1);
}

extern "C" void on_signal(int number) {
  keep_failure();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

// Whether the target accepts the bytes. Exits 1 when it throws anything but an Error.
bool try_input(const std::string& name, std::uint64_t seed, const std::string& which) {
  std::snprintf(failure_path, sizeof(failure_path), "failed_%s_%s_%s", name.c_str(),
                std::to_string(seed).c_str(), which.c_str());
  std::snprintf(failure_text, sizeof(failure_text),
                "%s: FAILED on input %s of seed %s, kept in %s\n", name.c_str(), which.c_str(),
                std::to_string(seed).c_str(), failure_path);
  ::alarm(60);
  try {
    return accepts(current);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  } catch (...) {
    fmt::print(stderr, "an exception that is no std::exception\n");
  }
  keep_failure();
  std::exit(1);
}

struct Options {
  std::uint64_t seed = 1, runs = UINT64_MAX;
  double seconds = 3;
  std::string only, write_seeds;
  std::vector<std::string> files;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&] {
      if (i + 1 < argc) return std::string(argv[++i]);
      fmt::print(stderr, "{}: needs a value\n", name);
      std::exit(2);
    };
    if (name == "--seed")
      options.seed = std::strtoull(value().c_str(), nullptr, 10);
    else if (name == "--seconds")
      options.seconds = std::strtod(value().c_str(), nullptr);
    else if (name == "--runs")
      options.runs = std::strtoull(value().c_str(), nullptr, 10);
    else if (name == "--only")
      options.only = value();
    else if (name == "--write-seeds")
      options.write_seeds = value();
    else
      options.files.push_back(name);
  }
  return options;
}

int read_files(const Options& options, const std::string& name) {
  for (const std::string& path : options.files) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      fmt::print(stderr, "{}: no file '{}'\n", name, path);
      return 2;
    }
    current = {std::istreambuf_iterator<char>(file), {}};
    fmt::print("{}: {}\n", path, try_input(name, options.seed, "file") ? "accepted" : "an Error");
  }
  return 0;
}

int run(const Options& options, const std::string& name) {
  const std::vector<std::string> seeds = fuzz::seeds();
  std::uint64_t accepted = 0, done = 0;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    if (!options.write_seeds.empty())
      std::ofstream(fmt::format("{}/{}_{}", options.write_seeds, name, i), std::ios::binary)
          << seeds[i];
    current = seeds[i];
    if (!try_input(name, options.seed, fmt::format("seed{}", i))) {
      fmt::print(stderr, "{}: FAILED: seed {} is no valid file\n", name, i);
      return 1;
    }
  }
  if (!options.write_seeds.empty()) return 0;
  if (!options.only.empty()) {
    current = make_input(options.seed, std::strtoull(options.only.c_str(), nullptr, 10), seeds);
    fmt::print("{}\n", try_input(name, options.seed, options.only) ? "accepted" : "an Error");
    return 0;
  }

  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  for (; done < options.runs && elapsed() < options.seconds; ++done) {
    current = make_input(options.seed, done, seeds);
    accepted += try_input(name, options.seed, std::to_string(done));
  }
  fmt::print("{}: {} inputs of seed {}: {} accepted, {} refused\n", name, done, options.seed,
             accepted, done - accepted);
  // All or nothing would mean that the mutations, or the reader, are asleep.
  return accepted > 0 && accepted < done ? 0 : 1;
}

}  // namespace
}  // namespace keymix::fuzz

int main(int argc, char** argv) {
  using namespace keymix::fuzz;
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM})
    std::signal(number, on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_failure);
  const Options options = parse(argc, argv);
  const char* slash = std::strrchr(argv[0], '/');
  const std::string name = slash == nullptr ? argv[0] : slash + 1;
  return options.files.empty() ? run(options, name) : read_files(options, name);
}
