// One sparse convolution of stride 1 by itself, forward and backward, on images whose channels are the last dimension:
// what autograd calls in the place of a convolution with all of its weights.
//
// As many images as a vector has lanes lie side by side, with a border of zeros, channel by channel: a survivor is then
// one number that several neighbouring pixels of a channel are multiplied by, in registers. Inputs are gone through a
// chunk of channels at a time, whose pixels around a block of outputs stay in the nearest cache.
//
// The functions at the end are what lth_ray/training/kernels/library.py calls; ISA is the instruction set's name, and
// CONV_SOURCE the digest of what this file is built from (sources.py).
#include "../exported.h"
#include "../vectors.h"

// Survivors in the order in which they are walked. begins: [chunks * outputs + 1]; offsets: of the first pixel that each
// is multiplied by, in pixels from where a block's own first one lies; values: T.
struct Walk {
    int32_t chunks;
    const int32_t *begins, *offsets;
    const void* values;
};

// Plain data, laid out as in kernels/library.py. up, side: rows and columns of the border. block: pixels of a row that are
// computed together. ahead: from inputs to outputs, back: the same weights from outputs to inputs, turned around.
struct Conv {
    int64_t images, height, width, inputs, outputs, up, side, block;
    Walk ahead, back;
};

namespace {

thread_local Memory memory;

// Images side by side, with their border: [channels][height + 2 up][row].
template <class T>
struct Stack {
    const Conv& conv;
    int64_t channels, row, plane;
    T* data;

    Stack(const Conv& conv_, int64_t channels_)
        : conv(conv_),
          channels(channels_),
          row((conv_.width + conv_.block - 1) / conv_.block * conv_.block + 2 * conv_.side),
          plane(row * (conv_.height + 2 * conv_.up)) {}
    size_t bytes() const { return size_t(channels * plane) * VECTOR_BYTES; }
    void take() {
        data = static_cast<T*>(memory.take(bytes()));
        memset(data, 0, bytes());
    }
    T* at(int64_t y, int64_t x) const { return data + (y * row + x) * LANES<T>; }

    // Takes in n images, the first at `from`; zeros where there is none.
    void fill(const T* from, int n) {
        const int64_t image = conv.height * conv.width * channels;
        for (int64_t y = 0; y < conv.height; y++)
            for (int64_t x = 0; x < conv.width; x++)
                for (int64_t c = 0; c < channels; c += LANES<T>) {
                    const T* pixel = from + (y * conv.width + x) * channels + c;
                    const int64_t wide = channels - c < LANES<T> ? channels - c : LANES<T>;
                    Vector<T> square[LANES<T>] = {};
                    for (int i = 0; i < n; i++)
                        if (wide == LANES<T>)
                            memcpy(&square[i], pixel + i * image, VECTOR_BYTES);
                        else
                            memcpy(&square[i], pixel + i * image, size_t(wide) * sizeof(T));
                    transpose_square<T>(square);
                    T* to = at(y + conv.up, x + conv.side) + c * plane * LANES<T>;
                    for (int i = 0; i < wide; i++) memcpy(to + i * plane * LANES<T>, &square[i], VECTOR_BYTES);
                }
    }
};

// Puts a block of outputs, [channels][PIXELS], where it belongs in n images, of which the first has its first pixel at
// `to`; `kept` of its pixels.
template <class T, int PIXELS>
void put(const T* block, int64_t channels, int64_t image, int kept, int n, T* to) {
    for (int x = 0; x < kept; x++)
        for (int64_t c = 0; c < channels; c += LANES<T>) {
            const int64_t wide = channels - c < LANES<T> ? channels - c : LANES<T>;
            Vector<T> square[LANES<T>] = {};
            for (int i = 0; i < wide; i++)
                memcpy(&square[i], block + ((c + i) * PIXELS + x) * LANES<T>, VECTOR_BYTES);
            transpose_square<T>(square);
            for (int i = 0; i < n; i++)
                if (wide == LANES<T>)
                    memcpy(to + i * image + x * channels + c, &square[i], VECTOR_BYTES);
                else
                    memcpy(to + i * image + x * channels + c, &square[i], size_t(wide) * sizeof(T));
        }
}

template <class T>
inline Vector<T> load(const T* from) {
    Vector<T> found;
    memcpy(&found, from, VECTOR_BYTES);
    return found;
}

// A block of outputs from the pixels at `from`, [outputs][PIXELS].
template <class T, int PIXELS>
void multiply(const Walk& walk, int64_t outputs, const T* from, T* block) {
    const T* values = static_cast<const T*>(walk.values);
    for (int32_t chunk = 0; chunk < walk.chunks; chunk++)
        for (int64_t c = 0; c < outputs; c++) {
            const int32_t *begin = walk.begins + chunk * outputs + c, last = begin[1];
            if (chunk && *begin == last) continue;
            T* out = block + c * PIXELS * LANES<T>;
            Vector<T> found[PIXELS];
            for (int x = 0; x < PIXELS; x++) found[x] = chunk ? load(out + x * LANES<T>) : Vector<T>{};
            for (int32_t at = *begin; at < last; at++) {
                const Vector<T> value = all<T>(values[at]);
                const T* pixels = from + int64_t(walk.offsets[at]) * LANES<T>;
#pragma GCC unroll 16
                for (int x = 0; x < PIXELS; x++) found[x] += value * load(pixels + x * LANES<T>);
            }
            for (int x = 0; x < PIXELS; x++) memcpy(out + x * LANES<T>, &found[x], VECTOR_BYTES);
        }
}

// Adds to each survivor's gradient, a vector of `sums`, the products of a block of errors with the pixels at `from`.
template <class T, int PIXELS>
void correlate(const Conv& conv, const Stack<T>& errors, int64_t y, int64_t x, const T* from, T* sums) {
    const Walk& walk = conv.ahead;
    for (int32_t chunk = 0; chunk < walk.chunks; chunk++)
        for (int64_t c = 0; c < conv.outputs; c++) {
            const int32_t *begin = walk.begins + chunk * conv.outputs + c, last = begin[1];
            if (*begin == last) continue;
            const T* error = errors.at(y + conv.up, x + conv.side) + c * errors.plane * LANES<T>;
            Vector<T> given[PIXELS];
            for (int i = 0; i < PIXELS; i++) given[i] = load(error + i * LANES<T>);
            for (int32_t at = *begin; at < last; at++) {
                const T* pixels = from + int64_t(walk.offsets[at]) * LANES<T>;
                Vector<T> even = load(sums + at * LANES<T>), odd{};
#pragma GCC unroll 16
                for (int i = 0; i < PIXELS; i += 2) {
                    even += given[i] * load(pixels + i * LANES<T>);
                    odd += given[i + 1] * load(pixels + (i + 1) * LANES<T>);
                }
                even += odd;
                memcpy(sums + at * LANES<T>, &even, VECTOR_BYTES);
            }
        }
}

// Calls body(first image, how many) for as many as lie side by side, and inside it the other for each block of pixels.
template <class T, class Side, class Block>
void walk_images(const Conv& conv, Side side, Block block) {
    for (int64_t first = 0; first < conv.images; first += LANES<T>) {
        const int n = conv.images - first < LANES<T> ? int(conv.images - first) : LANES<T>;
        side(first * conv.height * conv.width, n);
        for (int64_t y = 0; y < conv.height; y++)
            for (int64_t x = 0; x < conv.width; x += conv.block) {
                const int kept = conv.width - x < conv.block ? int(conv.width - x) : int(conv.block);
                block((first * conv.height + y) * conv.width + x, y, x, kept, n);
            }
    }
}

template <class T, int PIXELS>
int32_t forward(const Conv& conv, const T* x, T* y) {
    Stack<T> in(conv, conv.inputs);
    const size_t wide = size_t(conv.outputs * PIXELS) * VECTOR_BYTES;
    if (!memory.reserve(in.bytes() + wide + 128)) return 0;
    in.take();
    T* found = static_cast<T*>(memory.take(wide));
    const int64_t image = conv.height * conv.width * conv.outputs;
    walk_images<T>(
        conv, [&](int64_t at, int n) { in.fill(x + at * conv.inputs, n); },
        [&](int64_t at, int64_t row, int64_t column, int kept, int n) {
            multiply<T, PIXELS>(conv.ahead, conv.outputs, in.at(row, column), found);
            put<T, PIXELS>(found, conv.outputs, image, kept, n, y + at * conv.outputs);
        });
    return 1;
}

// dx, dw: null where they are not asked for; dw: of each survivor, as `ahead` walks them.
template <class T, int PIXELS>
int32_t backward(const Conv& conv, const T* x, const T* dy, T* dx, T* dw) {
    Stack<T> in(conv, conv.inputs), errors(conv, conv.outputs);
    const size_t wide = size_t(conv.inputs * PIXELS) * VECTOR_BYTES;
    const int32_t kept_weights = conv.ahead.begins[conv.ahead.chunks * conv.outputs];
    const size_t each = size_t(kept_weights) * VECTOR_BYTES;
    if (!memory.reserve(in.bytes() + errors.bytes() + wide + each + 256)) return 0;
    in.take(), errors.take();
    T* found = static_cast<T*>(memory.take(wide));
    T* sums = static_cast<T*>(memory.take(each));
    memset(sums, 0, each);
    const int64_t image = conv.height * conv.width * conv.inputs;
    walk_images<T>(
        conv,
        [&](int64_t at, int n) {
            errors.fill(dy + at * conv.outputs, n);
            if (dw) in.fill(x + at * conv.inputs, n);
        },
        [&](int64_t at, int64_t row, int64_t column, int kept, int n) {
            if (dw) correlate<T, PIXELS>(conv, errors, row, column, in.at(row, column), sums);
            if (!dx) return;
            multiply<T, PIXELS>(conv.back, conv.inputs, errors.at(row, column), found);
            put<T, PIXELS>(found, conv.inputs, image, kept, n, dx + at * conv.inputs);
        });
    for (int32_t i = 0; dw && i < kept_weights; i++) dw[i] = sum<T>(load(sums + i * LANES<T>));
    return 1;
}

}  // namespace

EXPORTED const char* NAMED(conv, source, ISA)() { return TEXT(CONV_SOURCE); }

// Blocks are of 16, 8 or 4 pixels.
#define FUNCTIONS(T)                                                                                                   \
    EXPORTED int32_t NAMED(conv_forward, T, ISA)(const Conv* conv, const T* x, T* y) {                                 \
        return conv->block == 16  ? forward<T, 16>(*conv, x, y)                                                        \
               : conv->block == 8 ? forward<T, 8>(*conv, x, y)                                                         \
                                  : forward<T, 4>(*conv, x, y);                                                        \
    }                                                                                                                  \
    EXPORTED int32_t NAMED(conv_backward, T, ISA)(const Conv* conv, const T* x, const T* dy, T* dx, T* dw) {           \
        return conv->block == 16  ? backward<T, 16>(*conv, x, dy, dx, dw)                                              \
               : conv->block == 8 ? backward<T, 8>(*conv, x, dy, dx, dw)                                               \
                                  : backward<T, 4>(*conv, x, dy, dx, dw);                                              \
    }

FUNCTIONS(float)
FUNCTIONS(double)
