// Training and evaluation of fully connected networks with activations between layers: whole steps, without Python in
// between.
//
// The functions at the end are what lth_ray/training/kernels/library.py calls; ISA is the instruction set's name.
#include "activations.h"
#include "exported.h"

// Plain data, laid out as in kernels/library.py. data: uint8 [n][channels][plane], of which a pixel becomes
// pixel * scale[channel] + shift[channel], float [channels]; or already inputs, of type T, where `scale` is null.
// labels: int64 [n].
struct Images {
    const void* data;
    const float *scale, *shift;
    int64_t channels, plane;
    const int64_t* labels;
};

namespace {

// What a pass through the network needs, cut from one piece of memory.
template <class T>
struct Pass {
    const Layer* layers;
    int32_t number;
    int images, tiles;
    int64_t stride, rows_stride;
    T** outputs;    // of the layers, tiles; outputs[0] are the first one's inputs
    T** gradients;  // of the loss by them, from outputs[1] on; null where none are asked for
    T** noises;     // what the layers' inputs are multiplied by, tiles; null in evaluation, and where there is none
    T** slopes;     // of the activations that gave them, tiles; null in evaluation, and where that is ReLU
    T* inputs;      // of the first layer image by image, `stride` apart
    T* rows;        // those of a later, dense layer, `rows_stride` apart
    T* scratch;     // gradients of a sparse layer's weights
    Vector<T>* columns;  // of a dense layer's inputs

    int features(int layer) const { return layer ? layers[layer - 1].outputs : layers[0].inputs; }
};

inline int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

thread_local Memory memory;

// Takes memory for `images` at a time; false where there is none.
template <class T>
bool prepare(Pass<T>& pass, const Layer* layers, int32_t number, int images, bool training) {
    pass.layers = layers, pass.number = number, pass.images = images;
    pass.tiles = int(padded(images, TILE<T>) / TILE<T>);
    int64_t activations = 0, beside = 0, widest = 0, most = 0;
    for (int i = 0; i <= number; i++) activations += pass.features(i);
    for (int i = 0; i < number; i++) {
        const Layer& l = layers[i];
        if (training && i) beside += l.inputs * ((l.noise != nullptr) + (layers[i - 1].activation != RELU));
        if (l.columns) {
            for (int b = 0; b < l.blocks; b++) {
                const int64_t n = l.begins[int64_t(b + 1) * l.outputs] - l.begins[int64_t(b) * l.outputs];
                most = n > most ? n : most;
            }
        } else if (i) {
            widest = l.inputs > widest ? l.inputs : widest;
        }
        most = l.outputs > most ? l.outputs : most;
    }
    pass.stride = padded(layers[0].inputs, TILE<T>) + SPARE, pass.rows_stride = padded(widest, TILE<T>) + SPARE;
    const int64_t a_tile = sizeof(T) * TILE<T>, of_rows = training && widest ? images * pass.rows_stride : 0;
    const int64_t columns = training ? images * ABREAST * sizeof(Vector<T>) : 0;
    const int64_t all = (activations * (training ? 2 : 1) + beside) * pass.tiles * a_tile +
                        (4 * sizeof(T*) + 256) * (number + 2) +
                        (images * pass.stride + of_rows + most + SPARE) * sizeof(T) + columns;
    if (!memory.reserve(size_t(all) + 512)) return false;
    pass.outputs = static_cast<T**>(memory.take(sizeof(T*) * (number + 1)));
    pass.gradients = training ? static_cast<T**>(memory.take(sizeof(T*) * (number + 1))) : nullptr;
    pass.noises = training ? static_cast<T**>(memory.take(sizeof(T*) * number)) : nullptr;
    pass.slopes = training ? static_cast<T**>(memory.take(sizeof(T*) * number)) : nullptr;
    const auto of_inputs = [&](int i, bool needed) {
        return i && needed ? static_cast<T*>(memory.take(layers[i].inputs * pass.tiles * a_tile)) : nullptr;
    };
    for (int i = 0; training && i < number; i++) {
        pass.noises[i] = of_inputs(i, layers[i].noise);
        pass.slopes[i] = of_inputs(i, i && layers[i - 1].activation != RELU);
    }
    for (int i = 0; i <= number; i++) {
        const size_t bytes = pass.features(i) * pass.tiles * a_tile;
        pass.outputs[i] = static_cast<T*>(memory.take(bytes));
        if (training && i) pass.gradients[i] = static_cast<T*>(memory.take(bytes));
    }
    pass.inputs = static_cast<T*>(memory.take(images * pass.stride * sizeof(T)));
    pass.rows = static_cast<T*>(memory.take(of_rows * sizeof(T)));
    pass.scratch = static_cast<T*>(memory.take(most * sizeof(T)));
    pass.columns = static_cast<Vector<T>*>(memory.take(columns));
    memset(pass.inputs, 0, images * pass.stride * sizeof(T));
    memset(pass.rows, 0, of_rows * sizeof(T));
    return true;
}

// pixel * scale + shift in float32, rounded after each of the two operations as PyTorch does: no compiler may make one
// of them.
template <class T>
void normalise(const uint8_t* pixels, int64_t n, float scale, float shift, T* inputs) {
    constexpr int64_t PART = 256;
    float products[PART];
    for (int64_t start = 0; start < n; start += PART) {
        const int64_t size = n - start < PART ? n - start : PART;
        for (int64_t i = 0; i < size; i++) products[i] = float(int32_t(pixels[start + i])) * scale;
        asm volatile("" : : "r"(products) : "memory");
        for (int64_t i = 0; i < size; i++) inputs[start + i] = T(products[i] + shift);
    }
}

// The inputs of the images in rows [n], image by image.
template <class T>
void load(const Images& from, const int64_t* rows, int64_t n, T* inputs, int64_t stride) {
    const int64_t size = from.channels * from.plane;
    for (int64_t i = 0; i < n; i++) {
        T* out = inputs + i * stride;
        if (!from.scale) {
            memcpy(out, static_cast<const T*>(from.data) + rows[i] * size, sizeof(T) * size);
            continue;
        }
        const uint8_t* image = static_cast<const uint8_t*>(from.data) + rows[i] * size;
        for (int64_t c = 0; c < from.channels; c++)
            normalise<T>(image + c * from.plane, from.plane, from.scale[c], from.shift[c], out + c * from.plane);
    }
}

// Images lie anywhere in a large memory: those of the next step are asked for while this one is computed. (Inlined, or
// GCC takes a function that only prefetches for one that does nothing.)
template <class T>
__attribute__((always_inline)) inline void prefetch(const Images& from, const int64_t* rows, int64_t n) {
    const int64_t bytes = from.channels * from.plane * int64_t(from.scale ? 1 : sizeof(T));
    for (int64_t i = 0; i < n; i++)
        for (int64_t at = 0; at < bytes + 63; at += 64)
            __builtin_prefetch(static_cast<const char*>(from.data) + rows[i] * bytes + (at < bytes ? at : bytes - 1), 0, 2);
}

// A tile from n rows, image by image; zeros where there is no image.
template <class T>
void into_tile(const T* rows, int64_t stride, int n, int features, T* x) {
    for (int f = 0; f < features; f += LANES<T>)
        for (int first = 0; first < TILE<T>; first += LANES<T>) {
            Vector<T> square[LANES<T>] = {};
            for (int i = 0; i < LANES<T> && first + i < n; i++)
                memcpy(&square[i], rows + (first + i) * stride + f, sizeof square[i]);  // rows end in room for it
            transpose_square<T>(square);
            for (int i = 0; i < LANES<T> && f + i < features; i++) tile(x, f + i)[first / LANES<T>] = square[i];
        }
}

// Rows from a tile: its activations image by image.
template <class T>
void from_tile(const T* x, int features, int n, T* rows, int64_t stride) {
    for (int f = 0; f < features; f += LANES<T>)
        for (int first = 0; first < n; first += LANES<T>) {
            Vector<T> square[LANES<T>] = {};
            for (int i = 0; i < LANES<T> && f + i < features; i++) square[i] = tile(x, f + i)[first / LANES<T>];
            transpose_square<T>(square);
            for (int i = 0; i < LANES<T> && first + i < n; i++)
                memcpy(rows + (first + i) * stride + f, &square[i], sizeof square[i]);
        }
}

// The noise of step `s`: that of the images is taken to the first layer's inputs, that of later layers put into tiles.
template <class T>
void load_noise(const Pass<T>& pass, int64_t s) {
    for (int i = 0; i < pass.number; i++) {
        const Layer& l = pass.layers[i];
        if (!l.noise) continue;
        const T* noise = static_cast<const T*>(l.noise) + s * pass.images * l.inputs;
        for (int start = 0, t = 0; i && start < pass.images; start += TILE<T>, t++) {
            const int n = pass.images - start < TILE<T> ? pass.images - start : TILE<T>;
            into_tile<T>(noise + int64_t(start) * l.inputs, l.inputs, n, l.inputs,
                         pass.noises[i] + int64_t(t) * l.inputs * TILE<T>);
        }
        for (int image = 0; !i && image < pass.images; image++, noise += l.inputs)
            for (int f = 0; f < l.inputs; f++) pass.inputs[image * pass.stride + f] *= noise[f];
    }
}

template <class T>
void forward_all(const Pass<T>& pass, int t) {
    for (int i = 0; i < pass.number; i++) {
        const int64_t in = int64_t(t) * pass.features(i), out = int64_t(t) * pass.features(i + 1);
        T* y = pass.outputs[i + 1] + out * TILE<T>;
        forward<T>(pass.layers[i], pass.outputs[i] + in * TILE<T>, y);
        if (i + 1 == pass.number) break;
        const T* noise = pass.noises ? pass.noises[i + 1] : nullptr;
        T* slopes = pass.slopes ? pass.slopes[i + 1] : nullptr;
        activate(pass.layers[i].activation, y, slopes ? slopes + out * TILE<T> : nullptr, pass.features(i + 1));
        if (noise) scale(y, noise + out * TILE<T>, pass.features(i + 1));
    }
}

// The cross entropy of one image, its logits TILE apart, and the gradient of `share` of it, where that is asked for.
template <class T>
double cross_entropy(const T* logits, int classes, int64_t label, double smoothing, T share, T* gradient) {
    T largest = logits[0];
    for (int c = 1; c < classes; c++) largest = logits[c * TILE<T>] > largest ? logits[c * TILE<T>] : largest;
    T total = 0, mean = 0;
    for (int c = 0; c < classes; c++) {
        const T power = exponential(logits[c * TILE<T>] - largest);
        total += power;
        mean += (logits[c * TILE<T>] - largest) / T(classes);
        if (gradient) gradient[c * TILE<T>] = power;
    }
    const double log_total = logarithm(double(total)), own = double(logits[label * TILE<T>] - largest);
    if (gradient)
        for (int c = 0; c < classes; c++) {
            const T target = T((c == label ? 1 - smoothing : 0.0) + smoothing / classes);
            gradient[c * TILE<T>] = (gradient[c * TILE<T>] / total - target) * share;
        }
    return log_total - (1 - smoothing) * own - smoothing * double(mean);
}

template <class T>
double losses(const Pass<T>& pass, int t, int n, const int64_t* rows, const int64_t* labels, double smoothing) {
    const int classes = pass.features(pass.number);
    const int64_t at = int64_t(t) * classes * TILE<T>;
    const T* logits = pass.outputs[pass.number] + at;
    T* gradient = pass.gradients ? pass.gradients[pass.number] + at : nullptr;
    if (gradient) memset(gradient, 0, sizeof(T) * classes * TILE<T>);
    double total = 0;
    for (int i = 0; i < n; i++)
        total += cross_entropy<T>(logits + i, classes, labels[rows[i]], smoothing, T(1) / T(pass.images),
                                  gradient ? gradient + i : nullptr);
    return total;
}

template <class T>
void step_layer(const Pass<T>& pass, int layer, const Update<T>& update) {
    const Layer& l = pass.layers[layer];
    const T *x = pass.outputs[layer], *dy = pass.gradients[layer + 1];
    if (layer > 0)  // before the weights move
        for (int t = 0; t < pass.tiles; t++) {
            const int64_t at = int64_t(t) * l.inputs * TILE<T>;
            const T *noise = pass.noises[layer], *slopes = pass.slopes[layer];
            T* dx = pass.gradients[layer] + at;
            backward<T>(l, dy + int64_t(t) * l.outputs * TILE<T>, dx);
            if (slopes)
                scale(dx, slopes + at, l.inputs);
            else
                cut(dx, x + at, l.inputs);
            if (noise) scale(dx, noise + at, l.inputs);
        }
    if (l.columns) {
        step_sparse<T>(l, x, dy, pass.tiles, update, pass.scratch);
    } else if (layer == 0) {
        step_dense<T>(l, pass.inputs, pass.stride, dy, pass.images, update, pass.columns);
    } else {
        for (int t = 0; t < pass.tiles; t++) {
            const int start = t * TILE<T>, n = pass.images - start < TILE<T> ? pass.images - start : TILE<T>;
            T* rows = pass.rows + start * pass.rows_stride;
            from_tile<T>(x + int64_t(t) * l.inputs * TILE<T>, l.inputs, n, rows, pass.rows_stride);
        }
        step_dense<T>(l, pass.rows, pass.rows_stride, dy, pass.images, update, pass.columns);
    }
    if (l.bias) step_bias<T>(l, dy, pass.tiles, update, pass.scratch);
}

// `steps` steps, the images of each in rows [steps][batch]. taken: steps of the optimizer so far. rates: [steps].
// `total` with the batches' mean losses added one after another; NaN where there is no memory.
template <class T>
double train(const Layer* layers, int32_t number, const Optimizer* optimizer, const Images* images, const int64_t* rows,
             int32_t batch, int64_t steps, int64_t taken, const double* rates, double smoothing, double total) {
    Pass<T> pass;
    if (!prepare(pass, layers, number, batch, true)) return NAN;
    prefetch<T>(*images, rows, batch);
    for (int64_t s = 0; s < steps; s++, rows += batch) {
        const Update<T> update(*optimizer, rates[s], taken + s + 1);
        load<T>(*images, rows, batch, pass.inputs, pass.stride);
        if (s + 1 < steps) prefetch<T>(*images, rows + batch, batch);
        load_noise(pass, s);
        double loss = 0;
        for (int t = 0; t < pass.tiles; t++) {
            const int start = t * TILE<T>, n = batch - start < TILE<T> ? batch - start : TILE<T>;
            into_tile<T>(pass.inputs + start * pass.stride, pass.stride, n, layers[0].inputs,
                         pass.outputs[0] + int64_t(t) * layers[0].inputs * TILE<T>);
            forward_all(pass, t);
            loss += losses(pass, t, n, rows + start, images->labels, smoothing);
        }
        for (int layer = number - 1; layer >= 0; layer--) step_layer(pass, layer, update);
        total += loss / batch;
    }
    return total;
}

// The sum of the losses of `n` images and how many are classified rightly, those of rows [n]. False without memory.
template <class T>
int32_t evaluate(const Layer* layers, int32_t number, const Images* images, const int64_t* rows, int64_t n,
                 double* loss, int64_t* right) {
    Pass<T> pass;
    if (!prepare(pass, layers, number, TILE<T>, false)) return 0;
    const T* logits = pass.outputs[number];
    *loss = 0, *right = 0;
    for (int64_t start = 0; start < n; start += TILE<T>, rows += TILE<T>) {
        const int here = n - start < TILE<T> ? int(n - start) : TILE<T>;
        load<T>(*images, rows, here, pass.inputs, pass.stride);
        into_tile<T>(pass.inputs, pass.stride, here, layers[0].inputs, pass.outputs[0]);
        const int64_t next = n - start - here;
        prefetch<T>(*images, rows + here, next < TILE<T> ? next : TILE<T>);
        forward_all(pass, 0);
        *loss += losses(pass, 0, here, rows, images->labels, 0.0);
        for (int i = 0; i < here; i++) {
            int best = 0;
            for (int c = 1; c < pass.features(number); c++)
                if (logits[c * TILE<T> + i] > logits[best * TILE<T> + i]) best = c;
            *right += best == images->labels[rows[i]];
        }
    }
    return 1;
}

}  // namespace

#define FUNCTIONS(T)                                                                                                   \
    EXPORTED double NAMED(train, T, ISA)(const Layer* layers, int32_t number, const Optimizer* optimizer,              \
                                         const Images* images, const int64_t* rows, int32_t batch, int64_t steps,      \
                                         int64_t taken, const double* rates, double smoothing, double total) {         \
        return train<T>(layers, number, optimizer, images, rows, batch, steps, taken, rates, smoothing, total);        \
    }                                                                                                                  \
    EXPORTED int32_t NAMED(evaluate, T, ISA)(const Layer* layers, int32_t number, const Images* images,                \
                                             const int64_t* rows, int64_t n, double* loss, int64_t* right) {           \
        return evaluate<T>(layers, number, images, rows, n, loss, right);                                              \
    }

FUNCTIONS(float)
FUNCTIONS(double)
