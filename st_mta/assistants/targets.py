"""Targets: from the raw scores of teacher and assistants to the distributions a student imitates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from st_mta.assistants.bandit import Exp3
from st_mta.assistants.calibration import CALIBRATIONS, calibrate, check_shape
from st_mta.assistants.fusion import Fusion, find_fusion, member_names, memberships
from st_mta.assistants.selection import BANDIT, SELECT_PER, SELECTIONS, Metric, find_selection, select
from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from st_mta.lookup import check_choice, word_of
from st_mta.over_processes import num_processes, summed


class AssistantTargets:
    """Calibrates, fuses and selects: gives the teacher's distribution and that of the assistant closest to it.

    Implements fusion and selection of MTA4DPR (Lu et al., EMNLP 2024). Deviation: every scorer is calibrated by its
    own temperature before anything is fused or compared, and "weighted" is one more rule of fusion.

    In a training by several processes a batch is what all of them have: the selection per batch is by the mean over
    the queries of all, so every process has to call it in every step.

    Args:
        names: The A assistants in pool order.
        temperatures: S = A + 1 temperatures, the teacher's first.
        fusion: "mean", "rrf", "weighted", or a function ``(scores, memberships, mask) -> log-probabilities``, itself
            or as "module:function".
        combinations: "all", "pairs" or "none".
        selection: "kl", "footrule", "rbo", or a function ``(teacher, fused, mask) -> distances``, itself or as
            "module:function"; "bandit" learns which of the three words to use for a batch, see [`Exp3`]: the loss has
            to tell by ``observe``, as ``ListwiseKLLoss`` does.
        select_per: "batch" or "query".
        calibration: With which the temperatures were fitted: "temperature", "zscore" or "affine".
        weights: A weights, for instance from `fit_weights`; for fusion "weighted" and no other.
        alpha: Weight of the teacher beside the selected assistant; for the loss.
        student_scale: Factor at which the student's own distributions are as spread out as the targets; for the loss,
            and None where it was not fitted.
        seed: Of the choices of selection "bandit".

    Raises:
        InputError: If an option is unknown, a temperature is missing or not positive, weights are missing or not asked
            for, or assistants are too many.
    """

    def __init__(
        self,
        names: Sequence[str],
        temperatures: Sequence[float],
        fusion: str | Fusion = "mean",
        combinations: str = "all",
        selection: str | Metric = "kl",
        select_per: str = "batch",
        *,
        calibration: str = "temperature",
        weights: Sequence[float] | None = None,
        alpha: float = 0.5,
        student_scale: float | None = None,
        seed: int = 0,
    ) -> None:
        self.names = tuple(names)
        self.temperatures = tuple(float(temperature) for temperature in temperatures)
        self._check_temperatures()
        self.fusion, self.combinations, self.selection, self.select_per = fusion, combinations, selection, select_per
        self.calibration, self.weights = calibration, None if weights is None else tuple(map(float, weights))
        self.alpha, self.student_scale = alpha, student_scale
        check_choice("calibration", calibration, CALIBRATIONS)
        self._fuse = find_fusion(fusion, len(self.names), self.weights)
        self.bandit = Exp3(tuple(SELECTIONS), seed) if selection == BANDIT else None
        self._metric = None if self.bandit is not None else find_selection(selection)
        check_choice("select_per", select_per, SELECT_PER)
        self._memberships = memberships(len(self.names), combinations)
        self.members = tuple(member_names(self.names, self._memberships))
        self._chosen = torch.zeros(len(self.members), dtype=torch.int64)
        self._on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _check_temperatures(self) -> None:
        temperatures = self.temperatures
        if len(temperatures) == len(self.names) + 1 and all(0 < t < math.inf for t in temperatures):
            return
        raise InputError(
            expected=f"{len(self.names) + 1} positive temperatures (the teacher's, then one per assistant)",
            got=f"{temperatures} for the assistants {self.names}",
            remedy="give one temperature per scorer, for instance from fit_temperature",
        )

    @torch.no_grad()
    def __call__(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The distributions to imitate.

        Args:
            scores: (B, S, N) raw scores, scorer 0 is the teacher; masked ones may be NaN.
            mask: (B, N) bool, True for a valid candidate.

        Returns:
            (B, 2, N) log-probabilities, -inf at masked candidates: the teacher's and the selected assistant's; without
            assistants (B, 1, N).

        Raises:
            InputError: If the number of scorers differs from the number of temperatures, or a user's function
                returns another shape than it should.
        """
        check_shape("scores", scores, (mask.shape[0], len(self.temperatures), mask.shape[1]))
        temperatures, members = self._constants(scores.device)
        scores = calibrate(scores, mask, temperatures, self.calibration)
        teacher = masked_log_softmax(scores[:, 0], mask)
        if not self.names:
            return teacher[:, None]
        fused = self._fuse(scores[:, 1:], members, mask)
        check_shape(f"the result of fusion {self.fusion!r}", fused, (mask.shape[0], len(self.members), mask.shape[1]))
        return torch.stack([teacher, self._select(teacher, fused, mask)], dim=1)

    @torch.no_grad()
    def teacher(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, N) log-probabilities of the teacher alone; nothing is fused, and no selection counted."""
        temperatures, _ = self._constants(scores.device)
        teacher = calibrate(scores[:, :1], mask, temperatures[:1], self.calibration)
        return masked_log_softmax(teacher[:, 0], mask)

    @torch.no_grad()
    def each(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, S, N) log-probabilities of every scorer by itself; nothing is fused, and no selection counted."""
        check_shape("scores", scores, (mask.shape[0], len(self.temperatures), mask.shape[1]))
        temperatures, _ = self._constants(scores.device)
        return masked_log_softmax(calibrate(scores, mask, temperatures, self.calibration), mask[:, None])

    def _constants(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Temperatures (S,) and memberships on a device, copied there once: in every step that would stop it."""
        if device not in self._on_device:
            temperatures = torch.tensor(self.temperatures, dtype=torch.float64)
            self._on_device[device] = temperatures.to(device), self._memberships.to(device)
        return self._on_device[device]

    def _select(self, teacher: Tensor, fused: Tensor, mask: Tensor) -> Tensor:
        """(B, N) log-probabilities of the member closest to the teacher, whose choice is counted."""
        distances = self._distance(teacher, fused, mask)
        check_shape(f"the result of selection {self.selection!r}", distances, fused.shape[:2])
        valid = mask.sum(dim=-1) >= 2
        chosen = select(distances, self.select_per, valid, summed)
        # Counted on the scores' device: reading it back here would stop an accelerator in every step.
        self._chosen = self._chosen.to(chosen.device).scatter_add(0, chosen, valid.long())
        return fused.gather(1, chosen[:, None, None].expand(-1, 1, fused.shape[-1])).squeeze(1)

    def _distance(self, teacher: Tensor, fused: Tensor, mask: Tensor) -> Tensor:
        """(B, F) distances by the metric of this batch."""
        metric = self._metric or SELECTIONS[self.bandit.names[self.bandit.chosen]]  # type: ignore[union-attr]
        return metric(teacher, fused, mask)

    def observe(self, divergence: Tensor) -> None:
        """Takes note of how far the student is from its teacher in this batch, where a bandit learns from it.

        To be called once for each batch that is trained on, in every process.

        Args:
            divergence: A number; where several processes train together, their mean counts.
        """
        if self.bandit is not None:
            self.bandit.observe(float(summed(divergence.detach().double())) / num_processes())

    def state(self) -> dict[str, Any]:
        """What the selection has learned, for a checkpoint; nothing where nothing is learned."""
        return {} if self.bandit is None else self.bandit.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what the selection had learned."""
        if self.bandit is not None and state:
            self.bandit.load(state)

    def frequencies(self, *, of_all: bool = False) -> dict[str, float]:
        """How often each plain or fused assistant was chosen since the last call.

        Args:
            of_all: Whether to count what all processes of a training chose, which then have to ask together.

        Returns:
            Member name -> share of the queries with at least two valid candidates, in pool order, without members
            that were never chosen.
        """
        chosen = summed(self._chosen) if of_all else self._chosen
        counts, total = chosen.tolist(), int(chosen.sum())
        self._chosen = torch.zeros_like(self._chosen)
        return {name: count / total for name, count in zip(self.members, counts) if count}

    def get_config_dict(self) -> dict[str, Any]:
        """The options, for a model card."""
        return {
            "assistants": list(self.names),
            "calibration": self.calibration,
            "temperatures": list(self.temperatures),
            "combinations": self.combinations,
            "select_per": self.select_per,
            "fusion": word_of(self.fusion),
            "selection": word_of(self.selection),
            **({} if self.weights is None else {"weights": list(self.weights)}),
        }
