"""A training script as public notebooks have them: paths by SM_*, the rest by argparse."""

import argparse
import json
import os
import sys

import torch
from torch import nn

import colours


def main(args):
    print("hosts", args.hosts, "rank", args.hosts.index(args.current_host), "of", args.num_gpus, "GPUs")
    pictures, labels, names = colours.read(args.training)
    network = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, len(names)))
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        loss = nn.functional.cross_entropy(network(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # One on each stream: the log must have them in this order.
        print(f"epoch {epoch}: loss={loss.item():.4f}")
        print(f"after epoch {epoch}", file=sys.stderr)
    accuracy = (network(pictures).argmax(1) == labels).float().mean().item()
    print(f"train accuracy={accuracy:.4f}; nesterov {args.nesterov!r} crop {args.crop!r}")
    torch.jit.script(network).save(os.path.join(args.model_dir, "model.pt"))
    with open(os.path.join(args.output_data_dir, "names.json"), "w") as file:
        json.dump(names, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--nesterov", type=str)
    parser.add_argument("--crop", type=str)
    parser.add_argument("--hosts", type=json.loads, default=os.environ["SM_HOSTS"])
    parser.add_argument("--current-host", type=str, default=os.environ["SM_CURRENT_HOST"])
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output-data-dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--training", type=str, default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    main(parser.parse_known_args()[0])
