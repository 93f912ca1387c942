"""Agreement against R 4.2.2 and published tables.

R's figures were printed by base R alone (irr and psych use the same formulas):

    options(digits=15)
    icc <- function(x) { n <- nrow(x); k <- ncol(x)
     d <- data.frame(y=as.vector(x), s=factor(rep(1:n,k)), r=factor(rep(1:k,each=n)))
     ms <- summary(aov(y ~ s + r, data=d))[[1]][,"Mean Sq"]; msr <- ms[1]; msc <- ms[2]; mse <- ms[3]
     v <- (msr-mse)/(msr+(k-1)*mse+k*(msc-mse)/n)
     a <- k*v/(n*(1-v)); b <- 1+k*v*(n-1)/(n*(1-v)); df <- (a*msc+b*mse)^2/((a*msc)^2/(k-1)+(b*mse)^2/((n-1)*(k-1)))
     fl <- qf(.975, n-1, df); fu <- qf(.975, df, n-1)
     c(v, n*(msr-fl*mse)/(fl*(k*msc+(k*n-k-n)*mse)+n*msr), n*(fu*msr-mse)/(k*msc+(k*n-k-n)*mse+n*fu*msr)) }
    icc(SHROUT); u <- U; v <- V; icc(cbind(u,v))
    d <- v-u; s <- sd(d); n <- length(d)
    c(mean(d), s, mean(d)-1.96*s, mean(d)+1.96*s, t.test(d)$conf.int, sqrt(3*s^2/n)*qt(.975,n-1))
"""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from device.studies.agreement import bland_altman, intraclass_correlation, match, match_points

SHROUT = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Six targets, four judges: table 2 of Shrout and Fleiss (1979), whose table 4 gives ICC(2,1) = 0.29."""
U = [21, 35, 18, 40, 27, 33, 12, 25, 30, 44]
V = [23, 34, 18, 43, 26, 35, 13, 27, 29, 47]


def test_the_intraclass_correlation_is_the_published_one():
    assert round(intraclass_correlation(SHROUT).value, 2) == 0.29


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (SHROUT, (0.289763779527559, 0.018786513374712, 0.761084369648953)),
        (np.column_stack([U, V]), (0.983908287757678, 0.925909293483352, 0.99612848935904)),
    ],
)
def test_the_intraclass_correlation_is_that_of_r(table, expected):
    found = intraclass_correlation(table)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-6)


def test_the_intraclass_correlation_sees_a_constant_difference():
    raised = intraclass_correlation(np.column_stack([U, np.add(U, 10)]))
    assert intraclass_correlation(np.column_stack([U, U])).value == 1
    assert raised.value < 0.7


@pytest.mark.parametrize("table", [[[3, 3], [3, 3]], [[1, 2]], [[1], [2]]])
def test_where_nothing_varies_there_is_no_correlation(table):
    assert intraclass_correlation(table).value is None


def test_bland_and_altman_are_those_of_r():
    found = bland_altman(U, V)
    figures = (found.mean, found.sd, found.lower, found.upper)
    assert figures == pytest.approx(
        (1, 1.63299316185545, -2.20066659723669, 4.20066659723669), abs=1e-6
    )
    interval = (found.mean_low, found.mean_high, found.limits_reach)
    assert interval == pytest.approx(
        (-0.168172935736169, 2.16817293573617, 2.02333487672194), abs=1e-6
    )


def test_one_image_has_a_difference_and_no_limits():
    found = bland_altman([3], [5])
    assert (found.mean, found.lower) == (2, None)


points = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=12)


@given(first=points, second=points)
def test_matching_takes_no_point_twice_and_is_the_same_from_both_sides(first, second):
    pairs = match_points(first, second, 10)
    assert len({left for left, _ in pairs}) == len({right for _, right in pairs}) == len(pairs)
    assert all(np.hypot(*np.subtract(first[a], second[b])) < 10 for a, b in pairs)
    assert len(match_points(second, first, 10)) == len(pairs)


def test_f1_is_one_for_the_same_marks_and_falls_with_each_that_differs():
    marks = [(10.0, 10.0), (50.0, 50.0), (90.0, 20.0)]
    moved = [(x + 3, y - 2) for x, y in marks]
    assert match(marks, moved, 10).f1 == 1
    assert match(marks, marks[:2], 10).f1 == pytest.approx(4 / 5)
    assert match([], [], 10).f1 == 1
    assert match(marks, [], 10).f1 == 0


counts = st.integers(2, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.integers(0, 4), min_size=raters, max_size=raters), min_size=2, max_size=5
    )
)


@example(table=[[1, 3], [3, 1]])
@example(table=[[0, 1], [0, 1]])
@example(table=[[0, 2], [1, 1]])
@example(table=[[0, 1], [0, 1], [1, 0]])
@given(table=counts)
def test_few_images_have_a_finite_correlation_or_none(table):
    found = intraclass_correlation(table)
    assert all(one is None or np.isfinite(one) for one in (found.value, found.low, found.high))
    assert found.low is None or found.low <= found.high + 1e-9
