"""Fault causes and transaction types, against the manual's tables."""

import pytest

from cosim.spec.faults import ACCESS_FAULT, GUEST_PAGE_FAULT, PAGE_FAULT, AtsAnswer, Cause, Permission, Ttyp


def test_causes_have_the_manuals_codes():
    assert list(Cause) == [1, 4, 5, 6, 7, 12, 13, 15, 20, 21, 23, *range(256, 275)]


def test_faults_without_a_device_context_or_outside_translation_are_reported_despite_dtf():
    assert [cause for cause in Cause if cause.reported_with_dtf] == [256, 257, 258, 259, 268, 272, 273]


@pytest.mark.parametrize(
    ("answer", "causes"),
    [
        (AtsAnswer.CA, [1, 5, 7, 261, 263, 265, 267, 268, 269, 270, 271, 272, 274]),
        (AtsAnswer.UR, [256, 257, 258, 259, 260]),
        (AtsAnswer.SUCCESS, [12, 13, 15, 20, 21, 23, 262, 266]),
        (None, [4, 6, 264, 273]),
    ],
)
def test_an_ats_request_is_answered_by_the_class_of_its_cause(answer, causes):
    assert [cause for cause in Cause if cause.ats_answer is answer] == causes


def test_the_kind_of_access_picks_the_cause():
    r, w, x = Permission.R, Permission.W, Permission.X
    assert [ACCESS_FAULT[p] for p in (x, r, w)] == [1, 5, 7]
    assert [PAGE_FAULT[p] for p in (x, r, w)] == [12, 13, 15]
    assert [GUEST_PAGE_FAULT[p] for p in (x, r, w)] == [20, 21, 23]
    assert [cause for cause in Cause if cause.guest_page_fault] == [20, 21, 23]


def test_transaction_types_have_the_manuals_codes():
    assert list(Ttyp) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert [t for t in Ttyp if t.untranslated] == [1, 2, 3]
    assert [t for t in Ttyp if t.translated] == [5, 6, 7]
    assert [t for t in Ttyp if t.has_iova] == [1, 2, 3, 5, 6, 7, 8]


def test_the_permission_picks_the_type():
    assert [Ttyp.untranslated_for(p) for p in (Permission.X, Permission.R, Permission.W)] == [1, 2, 3]
    assert [Ttyp.translated_for(p) for p in (Permission.X, Permission.R, Permission.W)] == [5, 6, 7]
