"""The course's recurrent weights as torch has them.

| the course (course 5 week 1)         | here and in torch                         |
| ------------------------------------ | ----------------------------------------- |
| x: (n_x, m, T_x), a: (n_a, m, T_x)   | input: (m, t, n_in), output: (m, t, n)    |
| Wax, Waa, ba                         | weight_ih, weight_hh, bias_ih + bias_hh   |
| Wi, Wf, Wc, Wo of [a, x]             | rows i, f, g, o of weight_hh, weight_ih   |
| GRU: Gamma_u, Gamma_r, c~            | 1 - z, r, n                               |

The course's GRU resets the state before the linear map and torch after it, so its weights make
another network, and no mapping changes that.
"""

import numpy as np

Parameters = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def lstm_from_course(
    Wi: np.ndarray,
    bi: np.ndarray,
    Wf: np.ndarray,
    bf: np.ndarray,
    Wc: np.ndarray,
    bc: np.ndarray,
    Wo: np.ndarray,
    bo: np.ndarray,
) -> Parameters:
    """weight_ih, weight_hh, bias_ih, bias_hh

    # four times [n, n + n_in] and [n, 1] -> [4n, n_in], [4n, n], [4n], [4n]

    The course's columns are those of the state, then those of the input. It has one bias: bias_hh
    is 0.
    """
    W = np.concatenate([Wi, Wf, Wc, Wo])
    n = len(Wi)
    bias = np.concatenate([b.reshape(-1) for b in (bi, bf, bc, bo)])
    return W[:, n:].copy(), W[:, :n].copy(), bias, np.zeros_like(bias)


def rnn_from_course(Wax: np.ndarray, Waa: np.ndarray, ba: np.ndarray) -> Parameters:
    """weight_ih, weight_hh, bias_ih, bias_hh                   # bias_hh is 0"""
    bias = ba.reshape(-1)
    return Wax.copy(), Waa.copy(), bias.copy(), np.zeros_like(bias)
