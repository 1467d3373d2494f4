#!/usr/bin/env python3
"""The ListOps classifier of the Long Range Arena in PyTorch: the peer of `examples/listops`.

Trains one model on a folder with basic_train.tsv, basic_val.tsv and basic_test.tsv in the Long
Range Arena's format, keeps the weights that are best on the validation set, and prints one line of
JSON: the accuracies in percent and the median milliseconds of a training step.

    python3 listops_pytorch.py --data FOLDER --attention softmax --heads 8
    python3 listops_pytorch.py --data FOLDER --attention mgk --heads 4 --components 2

The model (Tay et al., "Long Range Arena", ICLR 2021, in the small form of Xiong et al.,
"Nystromformer", AAAI 2021, which Nguyen et al., "Improving Transformers with Probabilistic
Attention Keys", ICML 2022, use): learned positions, two pre-LN blocks of width 64 with heads 32
wide, mean over all positions with padding counted as zeros, a two-layer head. No dropout.
"""

import argparse
import copy
import json
import math
import pathlib
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

# 0 is padding and 16 out of vocabulary, as in the Long Range Arena; the rest in this fixed order.
SYMBOLS = [str(digit) for digit in range(10)] + ["[MIN", "[MAX", "[MED", "[SM", "]"]
IDS = {symbol: index + 1 for index, symbol in enumerate(SYMBOLS)}
VOCABULARY = 17
CLASSES = 10


def read_split(path, length):
    """Tokens [examples, length] and labels [examples] of one file, header Source<TAB>Target."""
    rows, labels = [], []
    with open(path, encoding="utf-8") as file:
        header = file.readline().rstrip("\n")
        if header != "Source\tTarget":
            sys.exit(f"{path}:1: the header is {header[:40]!r}; needed 'Source<TAB>Target'")
        for number, line in enumerate(file, start=2):
            source, _, target = line.rstrip("\n").partition("\t")
            symbols = [s for s in source.split() if s not in "()"]
            if len(symbols) > length:
                sys.exit(f"{path}:{number}: {len(symbols)} tokens; --length is {length}")
            try:
                ids = [IDS[symbol] for symbol in symbols]
                labels.append(int(target))
            except (KeyError, ValueError) as error:
                sys.exit(f"{path}:{number}: not a ListOps line: {error}")
            rows.append(ids + [0] * (length - len(ids)))
    if not rows:
        sys.exit(f"{path}: no examples")
    return torch.tensor(rows), torch.tensor(labels)


def endless_batches(count, size, generator):
    """Rows of one batch after another; every epoch has its own order and none is cut off."""
    order = torch.randperm(count, generator=generator)
    while True:
        while len(order) < size:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:size]
        order = order[size:]


class Attention(nn.Module):
    """Softmax attention, or a mixture of `components` Gaussian keys per position (MGK).

    The mixture has one key projection per component, all with variance sqrt(head_dim), and mixing
    weights pi shared by the layer:
        A[i, j] = sum_r pi_r exp(-|q_i - k_jr|^2 / (2 sqrt(D))) / (the same summed over j)
    In the log domain |q_i|^2 cancels, and the scores are
        S[i, j, r] = log pi_r + (q_i . k_jr - |k_jr|^2 / 2) / sqrt(D),
    normalised by their log-sum-exp over all (j, r): one softmax over components * N keys.
    """

    def __init__(self, attention, width, heads, head_dim, components):
        super().__init__()
        self.attention, self.components = attention, components
        self.heads, self.head_dim = heads, head_dim
        self.query = nn.Linear(width, heads * head_dim)
        self.keys = nn.ModuleList(nn.Linear(width, heads * head_dim) for _ in range(components))
        self.value = nn.Linear(width, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, width)
        if attention == "mgk":
            self.mixing = nn.Parameter(torch.zeros(components))

    def split(self, x):
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def forward(self, x, mask):
        batch, length, _ = x.shape
        query, value = self.split(self.query(x)), self.split(self.value(x))
        keys = [self.split(key(x)) for key in self.keys]
        if self.attention == "softmax":
            out = F.scaled_dot_product_attention(query, keys[0], value, mask[:, None, None, :])
        else:
            scale = 1 / math.sqrt(self.head_dim)
            key = torch.cat(keys, dim=2)
            log_weight = self.mixing.log_softmax(0).repeat_interleave(length)
            bias = (log_weight - 0.5 * scale * key.square().sum(-1)).masked_fill(
                ~mask.repeat(1, self.components)[:, None, :], -math.inf)
            score = torch.matmul(query * scale, key.transpose(-2, -1)) + bias.unsqueeze(-2)
            weight = score.softmax(-1).unflatten(-1, (self.components, length)).sum(-2)
            out = torch.matmul(weight, value)
        return self.out(out.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    def __init__(self, width, hidden, **options):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width=width, **options)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x, mask):
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.down(F.gelu(self.up(self.mlp_norm(x))))


class Classifier(nn.Module):
    def __init__(self, length, width=64, hidden=128, layers=2, **options):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.02)
        self.blocks = nn.ModuleList(Block(width, hidden, **options) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden)
        self.classes = nn.Linear(hidden, CLASSES)

    def forward(self, tokens):
        mask = tokens != 0
        x = self.tokens(tokens) + self.positions
        for block in self.blocks:
            x = block(x, mask)
        # Over all positions: padding adds nothing, but counts in the divisor.
        pooled = (self.norm(x) * mask.unsqueeze(-1)).mean(1)
        return self.classes(F.relu(self.hidden(pooled)))


@torch.no_grad()
def accuracy(model, tokens, labels, batch=500):
    """Percent of all examples; none is dropped."""
    model.eval()
    right = sum((model(x).argmax(-1) == y).sum().item()
                for x, y in zip(tokens.split(batch), labels.split(batch)))
    model.train()
    return 100 * right / len(labels)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--attention", choices=["softmax", "mgk"], default="softmax")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--components", type=int, default=2, help="keys per mixture (mgk)")
    parser.add_argument("--head-dim", type=int, default=32)
    parser.add_argument("--length", type=int, default=32, help="positions; trees are padded to it")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--lr", type=float, default=1e-3, help="the greatest rate of the one cycle")
    parser.add_argument("--evaluate-every", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.attention == "softmax":
        arguments.components = 1
    return arguments


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train, validation, test = (read_split(args.data / f"basic_{split}.tsv", args.length)
                        for split in ("train", "val", "test"))

    model = Classifier(args.length, attention=args.attention, heads=args.heads,
                       head_dim=args.head_dim, components=args.components)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.999), eps=1e-6,
                                  weight_decay=0.01)
    # The default also moves beta1 from 0.95 to 0.85 and back.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=args.steps,
                                                   pct_start=0.1, anneal_strategy="linear")
    batches = endless_batches(len(train[1]), args.batch, torch.Generator().manual_seed(args.seed))

    best = {"validation": -1.0}
    times, losses = [], []
    for step in range(1, args.steps + 1):
        start = time.perf_counter()
        rows = next(batches)
        loss = F.cross_entropy(model(train[0][rows]), train[1][rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        times.append(1000 * (time.perf_counter() - start))
        if step % args.evaluate_every == 0 or step == args.steps:
            validation_now = accuracy(model, *validation)
            print(f"step {step}/{args.steps}  loss {statistics.mean(losses):.4f}  "
                  f"validation {validation_now:.2f} %", file=sys.stderr, flush=True)
            losses.clear()
            if validation_now > best["validation"]:
                best = {"validation": validation_now, "step": step, "weights": copy.deepcopy(model.state_dict())}

    model.load_state_dict(best["weights"])
    print(json.dumps({
        "framework": f"PyTorch {torch.__version__}",
        "model": args.attention,
        "heads": args.heads,
        "components": args.components,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": args.seed,
        "steps": args.steps,
        "threads": args.threads,
        "best_step": best["step"],
        "validation": round(best["validation"], 2),
        "test": round(accuracy(model, *test), 2),
        "majority": round(100 * test[1].bincount().max().item() / len(test[1]), 2),
        "ms_per_step": round(statistics.median(times), 3),
    }), flush=True)


if __name__ == "__main__":
    main()
