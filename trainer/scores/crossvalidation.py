"""Cross-validation by frame, and the finished model with its threshold."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from device.assays.fitting import choose_least, fit_logistic
from device.counting.card import Metrics, ModelCard
from trainer.confidence.evidence import UnseenFrame, fit_confidence, gather
from trainer.confidence.unseen import unseen_frames
from trainer.fitting.workflow import Maps, Training
from trainer.frames.datasets import Example
from trainer.network.segmenter import save_card
from trainer.scores.decision import (
    Decision,
    Table,
    best_decision,
    combinations,
    decide,
    draw_threshold_curve,
    try_all,
)
from trainer.scores.evaluate import (
    FrameScore,
    load_scores,
    pool_scores,
    recount,
    save_scores,
    score,
)
from trainer.scores.report import write_report


class Decisions(msgspec.Struct, frozen=True):
    """decisions.json: what a new frame gets, and what each held-out frame got without its own fold."""

    best: Decision
    per_frame: dict[str, Decision]


def save_decisions(decisions: Decisions, folder: Path) -> None:
    """Beside the scores."""
    text = msgspec.json.format(msgspec.json.encode(decisions), indent=1)
    (folder / "decisions.json").write_bytes(text + b"\n")


def out_of_fold_maps(training: Training, folds: list[int] | None = None) -> Maps:
    """Probability maps of all (or some folds') held-out frames by models that have not seen them."""
    maps: Maps = {}
    for fold in range(training.run.folds) if folds is None else folds:
        maps |= training.fold_maps(fold)
    return maps


def finished_folds(training: Training) -> list[int]:
    """Folds whose maps lie in the run's folder."""
    return [
        fold
        for fold in range(training.run.folds)
        if (training.out / f"fold-{fold}" / "maps.npz").exists()
    ]


def decision_table(training: Training, maps: Maps, examples: list[Example]) -> Table:
    """Every decision that the recipe allows, on stored maps of the examples."""
    card, run = training.card(training.new_model()), training.run
    decisions = combinations(card, run.thresholds, run.min_peaks, run.peak_distances, run.min_areas)
    return try_all(examples, maps, card, decisions)


def cross_fitted(training: Training, table: Table) -> dict[str, Decision]:
    """Per frame the decision that is best on the frames of the other folds."""
    fold_of = training.folds()
    names = [frame.name for frame in next(iter(table.values()))]
    chosen: dict[int, Decision] = {}
    for fold in sorted({fold_of[name] for name in names}):
        own = frozenset(name for name in names if fold_of[name] == fold)
        chosen[fold] = best_decision(table, own if len(own) < len(names) else frozenset())
    return {name: chosen[fold_of[name]] for name in names}


def cards_without_fold(
    training: Training, maps: Maps, examples: list[Example], per_frame: dict[str, Decision]
) -> dict[str, ModelCard]:
    """Per frame the card that decides about it: nothing in it was chosen or fitted on its fold's frames."""
    fold_of, leasts = training.folds(), training.run.least_probabilities
    decided = {fold_of[name]: decision for name, decision in per_frame.items()}
    plain = training.card(training.new_model())
    cards = {fold: decide(plain, decision) for fold, decision in decided.items()}
    if leasts and len(cards) > 1:
        frames = [UnseenFrame(own, maps[own.name], fold_of[own.name]) for own in examples]
        seen = {card: [gather(f, card) for f in frames] for card in dict.fromkeys(cards.values())}
        for fold, card in cards.items():
            others = [frame for frame in seen[card] if frame.fold != fold]
            terms = choose_least(others, fit_logistic(others, card.confidence), leasts)
            cards[fold] = msgspec.structs.replace(card, confidence=terms)
    return {example.name: cards[fold_of[example.name]] for example in examples}


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Out-of-fold scores, the cards that decided by frame name, and the decision for new frames."""

    scores: list[FrameScore]
    cards: dict[str, ModelCard]
    best: Decision


def score_maps(training: Training, maps: Maps, folder: Path) -> Scored:
    """Score out-of-fold maps; threshold curve, decisions and scores go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = [example for example in training.held_out_frames() if example.name in maps]
    table = decision_table(training, maps, examples)
    best = best_decision(table)
    per_frame = cross_fitted(training, table)
    cards = cards_without_fold(training, maps, examples, per_frame)
    scores = [
        score(example, recount(example, maps[example.name], cards[example.name]))
        for example in examples
    ]
    draw_threshold_curve(examples, maps, cards, folder / "threshold.png")
    save_scores(scores, folder / "scores.json")
    save_decisions(Decisions(best=best, per_frame=per_frame), folder)
    return Scored(scores, cards, best)


def crossvalidate(training: Training, folds: list[int] | None = None) -> str:
    """Train the folds (those not finished yet), score what is there, return the report."""
    out_of_fold_maps(training, folds)
    maps = out_of_fold_maps(training, finished_folds(training))
    folder = training.out / "crossvalidation"
    return report_folds(training, score_maps(training, maps, folder), maps, folder)


def finish(training: Training) -> ModelCard:
    """The model on all frames with its card in final/.

    Threshold and post-processing are the best on out-of-fold maps where all folds are there (of the int8 networks
    where they were made), else on the training frames (paper, section 4.3).
    """
    model = training.finetuned(None)
    examples = training.held_out_frames() or training.examples(training.run.finetune)
    complete = len(finished_folds(training)) == training.run.folds
    maps = _unseen_maps(training) if complete else training.frame_maps(model, examples)
    table = decision_table(training, maps, examples)
    chosen = best_decision(table)
    metrics = _metrics(training, table[chosen], complete)
    card = training.card(model, chosen.threshold)
    card = msgspec.structs.replace(decide(card, chosen), metrics=metrics)
    if complete:
        confidence = fit_confidence(
            unseen_frames(training)[0], card, training.run.least_probabilities
        )
        card = msgspec.structs.replace(card, confidence=confidence)
    save_card(card, training.out / "final" / "card.json")
    return card


def _unseen_maps(training: Training) -> Maps:
    """The maps that the confidence section is fitted on, by frame name."""
    return {frame.example.name: frame.probability for frame in unseen_frames(training)[0]}


def _metrics(training: Training, fitted: list[FrameScore], complete: bool) -> tuple[Metrics, ...]:
    """Cross-validated if all folds are finished, else those of the training frames, named as such."""
    if not complete:
        on = "training frames, float network (not a measure of new frames)"
        return (pool_scores(fitted).as_metrics(on),)
    scores = load_scores(training.out / "crossvalidation" / "scores.json")
    on = f"cross-validation by frame, {training.run.folds} folds, float network"
    return (pool_scores(scores).as_metrics(on),)


def report_folds(training: Training, scored: Scored, maps: Maps, folder: Path) -> str:
    """Tables and pictures of scored out-of-fold maps in their folder; returns the Markdown."""
    examples = [example for example in training.held_out_frames() if example.name in maps]
    counted = {
        example.name: recount(example, maps[example.name], scored.cards[example.name])
        for example in examples
    }
    done = len({training.folds()[example.name] for example in examples})
    title = f"{training.run.name}: cross-validation by frame, {done} of {training.run.folds} folds"
    artefacts = frozenset(training.run.finetune.oversample)
    text = write_report(title, scored.scores, counted, examples, folder, artefacts)
    return f"{text}\nDecided on all of these frames, for new ones: {scored.best}"
