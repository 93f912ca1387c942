"""Cross-validation by frame, and the finished model with its threshold."""

from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec

from device.assays.fitting import choose_least
from device.assays.regression import MANY_SETS, fit_logistic
from device.counting.card import Metrics, ModelCard
from trainer.confidence.evidence import UnseenFrame, fit_confidence, gather
from trainer.confidence.joining import add_joining, add_joining_by_fold
from trainer.confidence.unseen import has_unseen_frames, judging_parts, unseen_frames
from trainer.fitting.segmenter import save_card
from trainer.fitting.workflow import Maps, Training
from trainer.frames.example import Example
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

CURVE_FRAMES = 60
"""So many frames tell how the scores move with the threshold."""


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


def cross_fit(table: Table, fold_of: dict[str, int]) -> dict[str, Decision]:
    """Per frame the decision that is best on the frames of the other folds."""
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
    fold_of = judging_parts(training, examples)
    leasts = training.run.least_probabilities
    decided = {fold_of[name]: decision for name, decision in per_frame.items()}
    plain = training.card(training.new_model())
    cards = {fold: decide(plain, decision) for fold, decision in decided.items()}
    if leasts and len(cards) > 1:
        frames = [UnseenFrame(own, maps[own.name], fold_of[own.name]) for own in examples]
        joined_of = {
            card: add_joining_by_fold(card, frames, training.run)
            for card in dict.fromkeys(cards.values())
        }
        seen = {card: [gather(f, own[f.fold]) for f in frames] for card, own in joined_of.items()}
        for fold, card in cards.items():
            others = [frame for frame in seen[card] if frame.fold != fold]
            terms = choose_least(others, fit_logistic(others, card.confidence), leasts)
            cards[fold] = msgspec.structs.replace(joined_of[card][fold], confidence=terms)
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
    per_frame = cross_fit(table, judging_parts(training, examples))
    cards = cards_without_fold(training, maps, examples, per_frame)
    scores = [
        score(example, recount(example, maps[example.name], cards[example.name]))
        for example in examples
    ]
    some = examples[:: max(1, len(examples) // CURVE_FRAMES)]
    draw_threshold_curve(some, maps, cards, folder / "threshold.png")
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

    Threshold, post-processing and confidence are fitted on the out-of-fold maps that are there (of the int8 networks
    where they were made); without any, the former on the training frames (paper, section 4.3), the latter not at all.
    """
    model = training.finetune(None)
    if has_unseen_frames(training):
        card = _make_tested_card(training, model)
    else:
        examples = training.held_out_frames() or training.examples(training.run.finetune)
        table = decision_table(training, training.frame_maps(model, examples), examples)
        chosen = best_decision(table)
        on = "training frames, float network (not a measure of new frames)"
        card = decide(training.card(model, chosen.threshold), chosen)
        card = msgspec.structs.replace(card, metrics=(pool_scores(table[chosen]).as_metrics(on),))
    save_card(card, training.out / "final" / "card.json")
    return card


def _make_tested_card(training: Training, model: keras.Model) -> ModelCard:
    """The card that out-of-fold maps decide about, with the scores of the float networks where they were made."""
    frames, _ = unseen_frames(training)
    maps = {frame.example.name: frame.probability for frame in frames}
    chosen = best_decision(decision_table(training, maps, [frame.example for frame in frames]))
    card = decide(training.card(model, chosen.threshold), chosen)
    card = add_joining(card, frames, training.run)
    confidence = fit_confidence(frames, card, training.run.least_probabilities)
    return msgspec.structs.replace(
        card, confidence=confidence, metrics=metrics_of(training, "crossvalidation", "float")
    )


def metrics_of(training: Training, folder: str, network: str) -> tuple[Metrics, ...]:
    """What a folder's out-of-fold scores say for the card, of many sets one by one; none without scores.

    Args:
        training: the run.
        folder: of the scores, in the run's folder.
        network: "float" or "int8".
    """
    path = training.out / folder / "scores.json"
    if not path.exists():
        return ()
    scores, fold_of = load_scores(path), training.folds()
    done = len({fold_of[own.name] for own in scores})
    on = f"cross-validation by frame, {done} of {training.run.folds} folds, {network} network"
    sources = sorted({own.source for own in scores})
    if len(sources) < MANY_SETS:
        return (pool_scores(scores).as_metrics(on),)
    return tuple(
        pool_scores(own for own in scores if own.source == source).as_metrics(f"{on}: {source}")
        for source in sources
    )


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
