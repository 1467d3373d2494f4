"""The character-level language model of `examples/language_model` in PyTorch: same definition, same
first weights' distribution (Radford et al. 2019; no biases, tied head, exact gelu)."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal softmax attention, or a mixture of `components` Gaussian keys (listops_pytorch.py)."""

    def __init__(self, width, heads, head_dim, components):
        super().__init__()
        self.heads, self.head_dim, self.components = heads, head_dim, components
        self.projection = nn.Linear(width, heads * head_dim * (2 + components), bias=False)
        self.output = nn.Linear(heads * head_dim, width, bias=False)
        if components > 1:
            self.mixing = nn.Parameter(torch.zeros(components))

    def forward(self, x):
        batch, length, _ = x.shape
        parts = self.projection(x).chunk(2 + self.components, -1)
        query, *keys, value = (
            part.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2) for part in parts)
        if self.components == 1:
            out = F.scaled_dot_product_attention(query, keys[0], value, is_causal=True)
        else:
            scale = 1 / math.sqrt(self.head_dim)
            key = torch.cat(keys, dim=2)
            log_weight = self.mixing.log_softmax(0).repeat_interleave(length)
            score = torch.matmul(query * scale, key.transpose(-2, -1))
            score = score + (log_weight - 0.5 * scale * key.square().sum(-1)).unsqueeze(-2)
            future = torch.ones(length, length, dtype=torch.bool).triu(1).repeat(1, self.components)
            weight = score.masked_fill(future, -math.inf).softmax(-1)
            weight = weight.unflatten(-1, (self.components, length)).sum(-2)
            out = torch.matmul(weight, value)
        return self.output(out.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    def __init__(self, width, **attention):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, **attention)
        self.norm2 = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class LanguageModel(nn.Module):
    def __init__(self, vocab=65, context=64, width=128, layers=4, **attention):
        super().__init__()
        self.tokens = nn.Embedding(vocab, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, **attention) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_residual = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter,
                                std=0.02 / math.sqrt(2 * layers) if into_residual else 0.02)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)
