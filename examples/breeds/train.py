"""Fine-tune a network on pictures of breeds: three channels train, valid and test, each a folder a class.

Pretrained weights are a file *.pth in the channel `model`, if there is one, and come from timm's hub if not.
"""

import argparse
import copy
import glob
import json
import logging
import os
import sys
import time

import network
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stdout))


def loader(args, folder, training=False):
    transform = network.pictures(args.network, args.size, training)
    dataset = ImageFolder(folder, transform)
    return DataLoader(dataset, args.batch_size, shuffle=training, drop_last=training, num_workers=args.workers)


def run_epoch(model, data, device, optimizer=None, scheduler=None):
    """One pass over the data, with an optimizer to learn from it: mean loss and accuracy."""
    # Statistics of so few pictures would be worse than those of ImageNet: batch norms stay as they are.
    model.eval()
    total, right, count = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for images, labels in data:
            images, labels = images.to(device), labels.to(device)
            outputs = model(images)
            loss = nn.functional.cross_entropy(outputs, labels)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            total += loss.item() * len(labels)
            right += (outputs.argmax(1) == labels).sum().item()
            count += len(labels)
    return total / count, right / count


def main(args):
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, valid, test = loader(args, args.train, training=True), loader(args, args.valid), loader(args, args.test)
    classes = train.dataset.classes
    for data in (valid, test):
        if data.dataset.classes != classes:
            raise ValueError(f"{data.dataset.root} has the folders {data.dataset.classes}, train has {classes}")
    logger.info("%s on %s; %d pictures of %s", args.network, device, len(train.dataset), ", ".join(classes))

    weights = sorted(glob.glob(os.path.join(args.weights, "*.pth"))) if args.weights else []
    model = network.build(args.network, len(classes), weights[0] if weights else None).to(device)
    parameters = list(model.parameters())
    for parameter in parameters[: int(args.freeze * len(parameters))]:
        parameter.requires_grad = False
    head = list(model.get_classifier().parameters())
    body = [p for p in parameters if p.requires_grad and all(p is not own for own in head)]
    optimizer = torch.optim.AdamW([{"params": body, "lr": args.lr}, {"params": head, "lr": 10 * args.lr}])
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [args.lr, 10 * args.lr], epochs=args.epochs, steps_per_epoch=len(train)
    )

    best, best_state = -1.0, None
    for epoch in range(1, args.epochs + 1):
        began = time.time()
        loss, accuracy = run_epoch(model, train, device, optimizer, scheduler)
        logger.info("epoch %d: train_loss=%.4f; train_accuracy=%.4f;", epoch, loss, accuracy)
        loss, accuracy = run_epoch(model, valid, device)
        logger.info("epoch %d: valid_loss=%.4f; valid_accuracy=%.4f;", epoch, loss, accuracy)
        logger.info("epoch %d took %.1f s", epoch, time.time() - began)
        if accuracy >= best:
            best, best_state = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    loss, accuracy = run_epoch(model, test, device)
    logger.info("test_loss=%.4f; test_accuracy=%.4f;", loss, accuracy)

    torch.save(model.cpu().state_dict(), os.path.join(args.model_dir, "model.pth"))
    with open(os.path.join(args.model_dir, "model.json"), "w") as file:
        json.dump({"network": args.network, "classes": classes, "size": args.size}, file)
    with open(os.path.join(args.output_data_dir, "metrics.json"), "w") as file:
        json.dump({"valid_accuracy": best, "test_accuracy": accuracy}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", type=str, default="resnet50")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--freeze", type=float, default=0.6, help="the part of the layers that stays as it is")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=int(os.environ["SM_NUM_CPUS"]))
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output-data-dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--train", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--valid", type=str, default=os.environ["SM_CHANNEL_VALID"])
    parser.add_argument("--test", type=str, default=os.environ["SM_CHANNEL_TEST"])
    parser.add_argument("--weights", type=str, default=os.environ.get("SM_CHANNEL_MODEL"))
    main(parser.parse_args())
