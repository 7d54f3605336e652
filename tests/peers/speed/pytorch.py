"""Rounds of the public PyTorch implementation of TTT (test-time-training/ttt-lm-pytorch) on the CPU: for every line on stdin it reads and writes
once more, and prints the speeds as JSON.

    pytorch.py FOLDER-OF-ttt.py linear|mlp|FOLDER-OF-A-MODEL THREADS READ WRITE

Without a folder the model is that of the paper with 125 million parameters on the Mamba backbone, its weights random. No gradients are kept. Decoding
uses its cache.
"""

import json
import sys
import time

import torch

folder, what, *numbers = sys.argv[1:]
threads, read, write = map(int, numbers)
sys.path.insert(0, folder)
import ttt  # noqa: E402

torch.set_num_threads(threads)
torch.manual_seed(1)
if what in ("linear", "mlp"):
    config = ttt.TTTConfig(
        **ttt.TTT_STANDARD_CONFIGS["125m"], ttt_layer_type=what, ttt_base_lr=1.0 if what == "linear" else 0.1,
        pre_conv=True, share_qk=True, use_gate=True, tie_word_embeddings=True,
    )  # fmt: skip
    model = ttt.TTTForCausalLM(config).eval()
else:
    model = ttt.TTTForCausalLM.from_pretrained(what, torch_dtype=torch.float32).eval()
ids = torch.tensor([[100 + i * 37 % 1000 for i in range(read)]])

# Seconds in the layers, and in the inner steps of TTT in them.
inside = {"forward": 0.0, "ttt": 0.0}


def timed(layer, name):
    """Adds the time of a method's calls to `inside`."""
    method = getattr(layer, name)

    def call(*args, **kwargs):
        start = time.perf_counter()
        out = method(*args, **kwargs)
        inside[name] += time.perf_counter() - start
        return out

    setattr(layer, name, call)


for block in model.model.layers:
    for name in inside:
        timed(block.seq_modeling_block, name)


def elapsed(work):
    """Seconds of a work in all, in the layers, and in their inner steps."""
    inside.update(forward=0.0, ttt=0.0)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start, inside["forward"], inside["ttt"]


@torch.no_grad()
def round_():
    cache = ttt.TTTCache(model.model, 1)

    def prefill():
        # Only the last position's logits, as Fastweight.
        hidden = model.model(input_ids=ids, cache_params=cache, use_cache=True).last_hidden_state
        torch.nn.functional.linear(hidden[:, -1], model.lm_head.weight)

    def decode():
        token = torch.tensor([[5]])
        for _ in range(write):
            hidden = model.model(input_ids=token, cache_params=cache, use_cache=True).last_hidden_state
            token = torch.nn.functional.linear(hidden[:, -1], model.lm_head.weight).argmax(-1, keepdim=True)

    (whole, layers, inner), (step, step_layers, _) = elapsed(prefill), elapsed(decode)
    return {
        "prefill": read / whole, "decode": write / step,
        "layers, prefill": read / layers, "layers, decode": write / step_layers, "inner steps, prefill": read / inner,
    }  # fmt: skip


round_()
parameters = sum(p.numel() for p in model.parameters())
print(json.dumps({"name": f"ttt-lm-pytorch (PyTorch {torch.__version__}, {parameters} parameters, {threads} threads)"}), flush=True)
for _ in sys.stdin:
    print(json.dumps(round_()), flush=True)
