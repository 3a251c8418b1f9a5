// The optimizers, as torch.optim defines them, on one piece of a parameter at a time.
#pragma once

#include "vectors.h"

enum Kind : int32_t { SGD = 0, ADAM = 1, ADAMW = 2 };

// One for all layers; plain data, laid out as in kernels/library.py.
struct Optimizer {
    int32_t kind, nesterov;
    double momentum, weight_decay, beta1, beta2, eps;
};

namespace {

// What a step does with a gradient, its rate and Adam's bias corrections worked out.
template <class T>
struct Update {
    Kind kind;
    bool nesterov;
    T rate, momentum, decay, shrink, beta1, beta2, eps, size, correction;

    Update(const Optimizer& o, double rate_, int64_t step)  // step: from 1
        : kind(static_cast<Kind>(o.kind)), nesterov(o.nesterov != 0), rate(T(rate_)), momentum(T(o.momentum)),
          decay(T(o.weight_decay)), shrink(T(1 - rate_ * o.weight_decay)), beta1(T(o.beta1)), beta2(T(o.beta2)),
          eps(T(o.eps)), size(T(rate_ / (1 - ::pow(o.beta1, double(step))))),
          correction(T(1 / ::sqrt(1 - ::pow(o.beta2, double(step))))) {}

    // n values: p the parameter, g its gradient, m and v the optimizer's moments (v for Adam alone). kept: 1 or 0 for
    // each, or null where all are kept.
    void apply(int64_t n, T* __restrict p, const T* __restrict g, T* __restrict m, T* __restrict v,
               const T* __restrict kept) const {
        if (kept)
            chosen(n, p, g, m, v, [kept](int64_t i) { return kept[i]; });
        else
            chosen(n, p, g, m, v, [](int64_t) { return T(1); });
    }

    // A whole vector's step by Adam or AdamW, as `apply` takes it.
    template <bool KEPT>
    inline __attribute__((always_inline)) void adam(T* p, const T* g, T* m, T* v, const T* kept) const {
        const T coupled = kind == ADAM ? decay : T(0), whole = kind == ADAMW ? shrink : T(1);
        const T first = T(1) - beta1, second = T(1) - beta2;
        Vector<T> weight, gradient, mean, square, keeps;
        memcpy(&weight, p, sizeof weight), memcpy(&gradient, g, sizeof gradient);
        memcpy(&mean, m, sizeof mean), memcpy(&square, v, sizeof square);
        if constexpr (KEPT) {
            memcpy(&keeps, kept, sizeof keeps);
            gradient = gradient * keeps + coupled * weight;
        } else {
            gradient = gradient + coupled * weight;
        }
        mean += first * (gradient - mean);
        square = beta2 * square + second * gradient * gradient;
        weight = whole * weight - size * mean / (roots<T>(square) * correction + eps);
        memcpy(p, &weight, sizeof weight), memcpy(m, &mean, sizeof mean), memcpy(v, &square, sizeof square);
    }

  private:
    template <class Kept>
    inline void chosen(int64_t n, T* __restrict p, const T* __restrict g, T* __restrict m, T* __restrict v,
                       Kept kept) const {
        if (kind == SGD) {
            if (momentum == 0)
                for (int64_t i = 0; i < n; i++) p[i] -= rate * (g[i] * kept(i) + decay * p[i]);
            else if (nesterov)
                for (int64_t i = 0; i < n; i++) {
                    const T gradient = g[i] * kept(i) + decay * p[i];
                    m[i] = momentum * m[i] + gradient;
                    p[i] -= rate * (gradient + momentum * m[i]);
                }
            else
                for (int64_t i = 0; i < n; i++) {
                    m[i] = momentum * m[i] + (g[i] * kept(i) + decay * p[i]);
                    p[i] -= rate * m[i];
                }
            return;
        }
        const T coupled = kind == ADAM ? decay : T(0), whole = kind == ADAMW ? shrink : T(1);
        const T first = T(1) - beta1, second = T(1) - beta2;
        for (int64_t i = 0; i < n; i++) {
            const T gradient = g[i] * kept(i) + coupled * p[i];
            m[i] += first * (gradient - m[i]);
            v[i] = beta2 * v[i] + second * gradient * gradient;
            p[i] = whole * p[i] - size * m[i] / (root(v[i]) * correction + eps);
        }
    }
};

}  // namespace
