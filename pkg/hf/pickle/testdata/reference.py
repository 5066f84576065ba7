"""Writes model.bin by torch.save and model.safetensors with the same tensors beside
this file, and transposed.bin (pip install torch==2.11.0 safetensors==0.8.0)."""

import pathlib

import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(3)
linear = torch.nn.Linear(5, 3)
state = linear.state_dict()  # an OrderedDict with _metadata
dtypes = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
for dtype in dtypes:
    state[f"typed.{str(dtype)[6:]}"] = (torch.randn(2, 7) * 50).to(dtype)
shared = torch.randn(4, 6)
state["shared"] = shared
state["rows"] = shared[1:3]
state["parameter"] = torch.nn.Parameter(torch.randn(1, 3, 1))
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.zeros(0, 4)
state["gewicht.größe"] = torch.arange(300)
torch.save(state, here / "model.bin")
save_file({name: tensor.detach().clone() for name, tensor in state.items()}, here / "model.safetensors")
torch.save({"step": 12, "lr": 1e-3, "w": torch.randn(3, 2).T}, here / "transposed.bin")
