"""A Hugging Face script as public ones of 2022 are, but for its network, which is made here and not fetched."""

import argparse
import logging
import os
import random
import sys

from datasets import Dataset, load_from_disk
from sklearn.metrics import accuracy_score
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    Trainer,
    TrainingArguments,
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=str, default=5e-5)
    parser.add_argument("--output_data_dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--n_gpus", type=str, default=os.environ["SM_NUM_GPUS"])
    parser.add_argument("--training_dir", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    args, _ = parser.parse_known_args()

    logger = logging.getLogger(__name__)
    logging.basicConfig(level=logging.getLevelName("INFO"), handlers=[logging.StreamHandler(sys.stdout)])

    with open(os.path.join(args.training_dir, "sentences.txt")) as file:
        lines = [line.strip().split("\t") for line in file]
    words = sorted({word for _, text in lines for word in text.split()})
    with open("/tmp/vocab.txt", "w") as file:
        file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    tokenizer = BertTokenizerFast("/tmp/vocab.txt")
    dataset = Dataset.from_dict({"label": [int(label) for label, _ in lines], "text": [text for _, text in lines]})
    dataset.save_to_disk("/tmp/dataset")
    dataset = load_from_disk("/tmp/dataset").map(
        lambda batch: tokenizer(batch["text"], padding="max_length", truncation=True, max_length=8), batched=True
    )
    logger.info(f" loaded train_dataset length is: {len(dataset)}")

    def compute_metrics(pred):
        return {"accuracy": accuracy_score(pred.label_ids, pred.predictions.argmax(-1))}

    random.seed(1)
    config = BertConfig(
        vocab_size=len(words) + 5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    model = BertForSequenceClassification(config)
    training_args = TrainingArguments(
        output_dir=args.model_dir,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.train_batch_size,
        evaluation_strategy="epoch",
        save_strategy="no",
        logging_dir=f"{args.output_data_dir}/logs",
        learning_rate=float(args.learning_rate),
        report_to="none",
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        compute_metrics=compute_metrics,
        train_dataset=dataset,
        eval_dataset=dataset,
        tokenizer=tokenizer,
    )
    trainer.train()
    eval_result = trainer.evaluate(eval_dataset=dataset)
    for key, value in sorted(eval_result.items()):
        print(f"{key} = {value}")
    trainer.save_model(args.model_dir)
