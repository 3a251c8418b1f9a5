// One fully connected layer, dense or sparse: forward, backward, and its weights' step.
//
// Activations are tiles, [features][TILE]: the images of a tile lie side by side and are worked on together, so that a
// single surviving weight is worth a whole vector's work. Weights are walked in blocks of columns small enough for the
// tile's part to stay in the nearest cache.
#pragma once

#include "update.h"

// Plain data, laid out as in kernels/library.py.
// Dense: weight [outputs][inputs], kept of the same shape or null. Sparse (columns is not null): weight [kept weights],
// block after block of `block` columns, row after row within a block, column after column within a row; the entries of
// row o of block b are begins[b * outputs + o] to begins[b * outputs + o + 1]. bias: null where there is none.
// noise: what Dropout multiplies the layer's inputs by in training, [steps][batch][inputs] and LANES more; null without.
// activation: what its outputs go through (activations.h), where another layer follows.
struct Layer {
    int32_t inputs, outputs, block, blocks;
    void *weight, *weight_m, *weight_v, *bias, *bias_m, *bias_v;
    const void* kept;
    const int32_t *begins, *columns;
    const void* noise;
    int32_t activation;
};

namespace {

constexpr int ROWS = 6;       // outputs worked on together in a dense layer
constexpr int DEPTH = 96;     // features of a dense layer's block: 24 KB of a float tile
constexpr int SPARE = 16;     // keeps rows of a matrix from falling on the same cache sets

template <class T>
inline Vector<T>* tile(T* at, int64_t feature) {
    return reinterpret_cast<Vector<T>*>(at + feature * TILE<T>);
}
template <class T>
inline const Vector<T>* tile(const T* at, int64_t feature) {
    return reinterpret_cast<const Vector<T>*>(at + feature * TILE<T>);
}

// y += w x for R rows of the result, a part of the tile's vectors after another. w(r, k) is the weight of result row r
// and term k, of `terms`.
template <class T, int R, class Weight>
inline void multiply(const T* x, T* y, int terms, Weight w) {
    for (int first = 0; first < WIDE; first += ABREAST) {
        Vector<T> a[R][ABREAST];
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < ABREAST; j++) a[r][j] = tile(y, r)[first + j];
        for (int k = 0; k < terms; k++) {
            Vector<T> in[ABREAST];
#pragma GCC unroll 4
            for (int j = 0; j < ABREAST; j++) in[j] = tile(x, k)[first + j];
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                const T weight = w(r, k);
#pragma GCC unroll 4
                for (int j = 0; j < ABREAST; j++) a[r][j] += weight * in[j];
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < ABREAST; j++) tile(y, r)[first + j] = a[r][j];
    }
}

// y [rows][TILE] += w x, x [terms][TILE]; w at [row * row_stride + term * term_stride].
template <class T>
void multiply_all(const T* w, int64_t row_stride, int64_t term_stride, const T* x, T* y, int rows, int terms) {
    for (int k = 0; k < terms; k += DEPTH) {
        const int depth = terms - k < DEPTH ? terms - k : DEPTH;
        const T *from = w + k * term_stride, *in = x + int64_t(k) * TILE<T>;
        int row = 0;
        for (; row + ROWS <= rows; row += ROWS) {
            const T* at = from + row * row_stride;
            multiply<T, ROWS>(in, y + int64_t(row) * TILE<T>, depth,
                              [=](int r, int t) { return at[r * row_stride + t * term_stride]; });
        }
        for (; row < rows; row++) {
            const T* at = from + row * row_stride;
            multiply<T, 1>(in, y + int64_t(row) * TILE<T>, depth, [=](int, int t) { return at[t * term_stride]; });
        }
    }
}

// y = weight x + bias, before the activation.
template <class T>
void forward(const Layer& l, const T* x, T* y) {
    const T *bias = static_cast<const T*>(l.bias), *weight = static_cast<const T*>(l.weight);
    for (int o = 0; o < l.outputs; o++)
        for (int j = 0; j < WIDE; j++) tile(y, o)[j] = all(bias ? bias[o] : T(0));
    if (!l.columns) {
        multiply_all<T>(weight, l.inputs, 1, x, y, l.outputs, l.inputs);
        return;
    }
    for (int b = 0; b < l.blocks; b++)
        for (int o = 0; o < l.outputs; o++) {
            const int32_t *row = l.begins + int64_t(b) * l.outputs + o;
            if (row[0] == row[1]) continue;
            Vector<T>* out = tile(y, o);
            Vector<T> a0 = out[0], a1 = out[1], a2 = out[2], a3 = out[3];
            for (int32_t k = row[0]; k < row[1]; k++) {
                const Vector<T>* in = tile(x, l.columns[k]);
                const T w = weight[k];
                a0 += w * in[0];
                a1 += w * in[1];
                a2 += w * in[2];
                a3 += w * in[3];
            }
            out[0] = a0, out[1] = a1, out[2] = a2, out[3] = a3;
        }
}

// The gradient dx of the layer's inputs from that of its outputs, dy.
template <class T>
void backward(const Layer& l, const T* dy, T* dx) {
    const T* weight = static_cast<const T*>(l.weight);
    memset(dx, 0, sizeof(T) * TILE<T> * l.inputs);
    if (!l.columns) {
        multiply_all<T>(weight, 1, l.inputs, dy, dx, l.inputs, l.outputs);
        return;
    }
    for (int b = 0; b < l.blocks; b++)
        for (int o = 0; o < l.outputs; o++) {
            const int32_t* row = l.begins + int64_t(b) * l.outputs + o;
            const Vector<T>* d = tile(dy, o);
            const Vector<T> d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
            for (int32_t k = row[0]; k < row[1]; k++) {
                Vector<T>* out = tile(dx, l.columns[k]);
                const T w = weight[k];
                out[0] += w * d0;
                out[1] += w * d1;
                out[2] += w * d2;
                out[3] += w * d3;
            }
        }
}

// Adds to, or with ANEW sets, the gradients of consecutive survivors: `found` are their products, lane by lane.
template <class T, bool ANEW>
inline void gather(Vector<T>* found, int n, T* gradient) {
    Vector<T> total = sums<T>(found);
    if (n == LANES<T>) {
        if (!ANEW) {
            Vector<T> before;
            memcpy(&before, gradient, sizeof before);
            total += before;
        }
        memcpy(gradient, &total, sizeof total);
    } else {
        for (int lane = 0; lane < n; lane++) gradient[lane] = ANEW ? total[lane] : gradient[lane] + total[lane];
    }
}

// The gradients of one block's survivors over the images of one tile.
template <class T, bool ANEW>
void gradients_of_block(const Layer& l, const int32_t* rows, const T* x, const T* dy, T* gradient) {
    Vector<T> found[LANES<T>] = {};
    int filled = 0;
    for (int o = 0; o < l.outputs; o++) {
        const Vector<T>* d = tile(dy, o);
        const Vector<T> d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
        for (int32_t k = rows[o]; k < rows[o + 1]; k++) {
            const Vector<T>* at = tile(x, l.columns[k]);
            Vector<T> product = d0 * at[0];
            product += d1 * at[1];
            product += d2 * at[2];
            product += d3 * at[3];
            found[filled++] = product;
            if (filled == LANES<T>) {
                gather<T, ANEW>(found, LANES<T>, gradient);
                gradient += LANES<T>;
                filled = 0;
            }
        }
    }
    gather<T, ANEW>(found, filled, gradient);
}

// Steps of a sparse layer's weights: the gradient of each survivor is a sum over the images of all tiles.
// gradient: room for the largest block's.
template <class T>
void step_sparse(const Layer& l, const T* x, const T* dy, int tiles, const Update<T>& update, T* gradient) {
    T *weight = static_cast<T*>(l.weight), *m = static_cast<T*>(l.weight_m), *v = static_cast<T*>(l.weight_v);
    const T* all_kept = nullptr;
    for (int b = 0; b < l.blocks; b++) {
        const int32_t *rows = l.begins + int64_t(b) * l.outputs, first = rows[0];
        gradients_of_block<T, true>(l, rows, x, dy, gradient);
        for (int t = 1; t < tiles; t++)
            gradients_of_block<T, false>(l, rows, x + int64_t(t) * l.inputs * TILE<T>,
                                         dy + int64_t(t) * l.outputs * TILE<T>, gradient);
        update.apply(rows[l.outputs] - first, weight + first, gradient, m + first, v + first, all_kept);
    }
}

// A panel of a dense layer's weights, R rows by W vectors, whose gradients are there, and whose step by Adam is taken
// vector by vector while the gradients of the next panel are computed: roots and quotients keep another part of the
// processor busy than products do. KEPT: the layer has a mask.
template <class T, bool KEPT>
struct Waiting {
    const Layer& l;
    const Update<T>& update;
    alignas(64) T gradients[ROWS * ABREAST * LANES<T>];
    int64_t at;                   // place of the next vector in the layer's weights
    int left = 0, width, column;  // vectors; columns of a row; that of the next vector
    const T* next;                // gradients

    Waiting(const Layer& l_, const Update<T>& update_) : l(l_), update(update_) {}

    template <int R, int W>
    inline __attribute__((always_inline)) void take(Vector<T> (&a)[R][W], int64_t first, int width_) {
        Vector<T>* to = reinterpret_cast<Vector<T>*>(gradients);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int j = 0; j < W; j++) to[r * W + j] = a[r][j];
        if (update.kind != SGD && width_ == W * LANES<T>)
            at = first, width = width_, column = 0, left = R * W, next = gradients;
        else
            for (int r = 0; r < R; r++) apply(first + r * l.inputs, gradients + r * W * LANES<T>, width_);
    }
    inline __attribute__((always_inline)) void one() {
        update.template adam<KEPT>(static_cast<T*>(l.weight) + at, next, static_cast<T*>(l.weight_m) + at,
                                   static_cast<T*>(l.weight_v) + at, static_cast<const T*>(l.kept) + at);
        next += LANES<T>, column += LANES<T>, at += LANES<T>, left--;
        if (column == width) column = 0, at += l.inputs - width;
    }
    void all() {
        while (left) one();
    }
    __attribute__((noinline)) void apply(int64_t here, const T* gradient, int n) {
        update.apply(n, static_cast<T*>(l.weight) + here, gradient, static_cast<T*>(l.weight_m) + here,
                     static_cast<T*>(l.weight_v) + here, KEPT ? static_cast<const T*>(l.kept) + here : nullptr);
    }
};

// R rows of a dense layer's gradient, W vectors wide. x: these columns of the inputs, [images][W vectors].
template <class T, int R, int W, bool KEPT>
inline void step_panel(const Layer& l, const Vector<T>* x, const T* dy, int images, int o, int column,
                       Waiting<T, KEPT>& waiting) {
    Vector<T> a[R][W] = {};
    const int every = images > R * W ? images / (R * W) : 1;
    int64_t coming = int64_t(o) * l.inputs + column;  // this panel's weights and moments, which are asked for meanwhile
    int asked = 0;
    for (int start = 0, t = 0; start < images; start += TILE<T>, t++) {
        const int n = images - start < TILE<T> ? images - start : TILE<T>;
        const T* d = dy + (int64_t(t) * l.outputs + o) * TILE<T>;
        for (int i = 0; i < n;) {
            const int until = n - i < every ? n : i + every;
            for (; i < until; i++, x += W) {
                Vector<T> in[W];
#pragma GCC unroll 4
                for (int j = 0; j < W; j++) in[j] = x[j];
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) {
                    const T by = d[r * TILE<T> + i];
#pragma GCC unroll 4
                    for (int j = 0; j < W; j++) a[r][j] += by * in[j];
                }
            }
            __builtin_prefetch(static_cast<const T*>(l.weight) + coming + asked * LANES<T>, 1, 3);
            __builtin_prefetch(static_cast<const T*>(l.weight_m) + coming + asked * LANES<T>, 1, 3);
            __builtin_prefetch(static_cast<const T*>(l.weight_v) + coming + asked * LANES<T>, 1, 3);
            if (++asked == W) asked = 0, coming += l.inputs;
            if (waiting.left) waiting.one();
        }
    }
    waiting.all();
    const int width = l.inputs - column < W * LANES<T> ? l.inputs - column : W * LANES<T>;
    waiting.take(a, int64_t(o) * l.inputs + column, width);
}

// W vectors' columns of a dense layer. rows: the inputs image by image, `stride` apart, of which these columns are put
// side by side first: all rows of panels walk through them, and so through few pages of memory.
template <class T, int W, bool KEPT>
void step_columns(const Layer& l, const T* rows, int64_t stride, const T* dy, int images, int column, Vector<T>* x,
                  Waiting<T, KEPT>& waiting) {
    for (int i = 0; i < images; i++) memcpy(x + i * W, rows + i * stride + column, W * sizeof(Vector<T>));
    int o = 0;
    for (; o + ROWS <= l.outputs; o += ROWS) step_panel<T, ROWS, W>(l, x, dy, images, o, column, waiting);
    for (; o < l.outputs; o++) step_panel<T, 1, W>(l, x, dy, images, o, column, waiting);
}

template <class T, bool KEPT>
void step_all(const Layer& l, const T* rows, int64_t stride, const T* dy, int images, const Update<T>& update,
              Vector<T>* x) {
    Waiting<T, KEPT> waiting(l, update);
    for (int column = 0; column < l.inputs; column += ABREAST * LANES<T>) {
        const int vectors = int((l.inputs - column + LANES<T> - 1) / LANES<T>);
        const auto step = vectors >= ABREAST ? step_columns<T, ABREAST, KEPT>
                          : vectors == 3     ? step_columns<T, 3, KEPT>
                          : vectors == 2     ? step_columns<T, 2, KEPT>
                                             : step_columns<T, 1, KEPT>;
        step(l, rows, stride, dy, images, column, x, waiting);
    }
    waiting.all();
}

// x: room for a panel's columns of the inputs, ABREAST vectors an image.
template <class T>
void step_dense(const Layer& l, const T* rows, int64_t stride, const T* dy, int images, const Update<T>& update,
                Vector<T>* x) {
    (l.kept ? step_all<T, true> : step_all<T, false>)(l, rows, stride, dy, images, update, x);
}

template <class T>
void step_bias(const Layer& l, const T* dy, int tiles, const Update<T>& update, T* gradient) {
    for (int o = 0; o < l.outputs; o++) {
        Vector<T> total{};
        for (int t = 0; t < tiles; t++) {
            const Vector<T>* d = tile(dy, int64_t(t) * l.outputs + o);
            total += (d[0] + d[1]) + (d[2] + d[3]);
        }
        gradient[o] = sum<T>(total);
    }
    update.apply(l.outputs, static_cast<T*>(l.bias), gradient, static_cast<T*>(l.bias_m), static_cast<T*>(l.bias_v),
                 static_cast<const T*>(nullptr));
}

}  // namespace
