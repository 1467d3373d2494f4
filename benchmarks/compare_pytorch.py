#!/usr/bin/env python3
"""keymix beside PyTorch: milliseconds of a training step, and their ratio.

    python3 benchmarks/compare_pytorch.py --keymix build/benchmarks/training_steps

Both train the same models on data of the same form: the language model of examples/language_model
(12 windows of 64) and the ListOps classifier of ./train.sh (64 trees), each with softmax attention and
with a mixture of keys. They take turns, a few steps each, so that whatever else the machine does meets
both; the figures are medians over all steps but the first round. PyTorch runs eager, in float32, with
as many threads as keymix, and with a malloc that keeps large blocks, which is its better setting.

Prints a table, and with --json a file with the same figures. Needs torch.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# glibc's malloc gives large blocks back to the system and faults them in again, step after step. It
# reads these when a process starts: if they are not there, start again with them.
MALLOC = {"MALLOC_TOP_PAD_": "4294967296", "MALLOC_MMAP_THRESHOLD_": "4294967296",
          "MALLOC_TRIM_THRESHOLD_": "4294967296"}
if not MALLOC.keys() <= os.environ.keys():
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)

import torch
from torch.nn import functional as F

import language_model_pytorch
import listops_pytorch

CASES = [("language_model", "softmax"), ("language_model", "mgk"),
         ("listops", "softmax"), ("listops", "mgk")]


def language_model_step(attention):
    components, heads = (2, 2) if attention == "mgk" else (1, 4)
    model = language_model_pytorch.LanguageModel(heads=heads, head_dim=32, components=components)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
         {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.99))
    text = torch.randint(0, 65, (100_000,))

    def step():
        starts = torch.randint(0, len(text) - 64, (12,))
        rows = starts[:, None] + torch.arange(64)
        logits = model(text[rows])
        return F.cross_entropy(logits.flatten(0, 1), text[rows + 1].flatten())
    return model, optimizer, step


def listops_step(attention):
    heads, components = (4, 2) if attention == "mgk" else (8, 1)
    model = listops_pytorch.Classifier(32, attention=attention, heads=heads, head_dim=32,
                                       components=components)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-6, weight_decay=0.01)

    def step():
        tokens = torch.randint(1, 16, (64, 32))
        tokens = tokens * (torch.arange(32) < torch.randint(5, 33, (64, 1)))
        return F.cross_entropy(model(tokens), torch.randint(0, 10, (64,)))
    return model, optimizer, step


class PyTorch:
    def __init__(self, case, attention):
        make = language_model_step if case == "language_model" else listops_step
        self.model, self.optimizer, self.loss = make(attention)

    def steps(self, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            loss = self.loss()
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            loss.item()
            times.append(1000 * (time.perf_counter() - start))
        return times


class Keymix:
    def __init__(self, program, case, attention, threads):
        self.process = subprocess.Popen(
            [program, case, attention], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"KEYMIX_THREADS": str(threads)})
        first = self.process.stdout.readline()
        if not first.startswith("ready "):
            sys.exit(f"{program} did not start; it said {first!r}")
        self.description = first[len("ready "):].strip()

    def steps(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--keymix", default="build/benchmarks/training_steps", metavar="PROGRAM")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    rows = []
    for case, attention in CASES:
        peer, ours = PyTorch(case, attention), Keymix(args.keymix, case, attention, args.threads)
        peer_ms, ours_ms = [], []
        for turn in range(args.rounds + 1):
            # Who goes first changes, and the first round warms both up.
            for one in ((peer, ours), (ours, peer))[turn % 2]:
                times = one.steps(args.steps)
                if turn > 0:
                    (peer_ms if one is peer else ours_ms).extend(times)
        ours.end()
        if not rows:
            print(f"keymix   {ours.description}\nPyTorch  {torch.__version__}, eager, "
                  f"{args.threads} threads\n")
            print(f"{'case':<26}{'keymix ms':>12}{'PyTorch ms':>12}{'ratio':>9}")
        row = {"case": case, "attention": attention,
               "keymix_ms": statistics.median(ours_ms), "pytorch_ms": statistics.median(peer_ms)}
        row["ratio"] = row["keymix_ms"] / row["pytorch_ms"]
        rows.append(row)
        print(f"{case + ', ' + attention:<26}{row['keymix_ms']:>12.1f}{row['pytorch_ms']:>12.1f}"
              f"{row['ratio']:>9.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
