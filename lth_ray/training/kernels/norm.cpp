// Batch normalisation, what is added to its result and ReLU as one operation, and its gradient, for images whose
// channels are the last dimension. Each of both reads memory twice, once for sums over the images, and writes it once.
//
// The functions at the end are what lth_ray/training/kernels/library.py calls; ISA is the instruction set's name. Sums
// over the images are taken in a fixed order by the thread that calls. S is the type of stored images, T that of
// parameters and of what is computed: both float or double, or bf16 and float.
#include "exported.h"
#include "stored.h"

// Plain data, laid out as in kernels/library.py. rows: images x height x width. The pointers are to T [channels];
// running_* are null where none are kept. training: the statistics are the batch's, else the running ones.
struct Norm {
    int64_t rows, channels;
    const void *weight, *bias;
    void *running_mean, *running_var;
    double eps, momentum;
    int32_t training, relu;
};

namespace {

thread_local Memory memory;

// Means and mean squared deviations over the rows, [channels] each, pooled from those of runs of lines (Chan, Golub &
// LeVeque 1983). `means` and `squares`: double [width].
template <class S, class T>
void statistics(const Lines<T>& lines, const S* x, double* means, double* squares, double* mean, double* variance) {
    memset(means, 0, size_t(lines.width) * sizeof(double)), memset(squares, 0, size_t(lines.width) * sizeof(double));
    lines.walk([&](int64_t first, int n, int64_t place) {
        Tile<T> total{}, spread{};
        for (int i = 0; i < n; i++) {
            const Tile<T> here = read(x + first + i * lines.width);
            for (int k = 0; k < WIDE; k++) total.part[k] += here.part[k];
        }
        for (int k = 0; k < WIDE; k++) total.part[k] *= all<T>(T(1) / T(n));
        for (int i = 0; i < n; i++) {
            const Tile<T> here = read(x + first + i * lines.width);
            for (int k = 0; k < WIDE; k++) {
                const Vector<T> off = here.part[k] - total.part[k];
                spread.part[k] += off * off;
            }
        }
        T of_run[TILE<T>], off_run[TILE<T>];
        total.put(of_run), spread.put(off_run);
        const double seen = double(first / lines.width), share = n / (seen + n);
        for (int lane = 0; lane < TILE<T>; lane++) {
            const double off = of_run[lane] - means[place + lane];
            means[place + lane] += off * share;
            squares[place + lane] += off_run[lane] + off * off * seen * share;
        }
    });
    const double each = double(lines.number);
    for (int64_t c = 0; c < lines.channels; c++) {
        double centre = 0, sum = 0, n = 0;
        for (int64_t place = c; place < lines.width && lines.number; place += lines.channels, n += each) {
            const double off = means[place] - centre, share = each / (n + each);
            centre += off * share;
            sum += squares[place] + off * off * n * share;
        }
        const S* last = x + lines.number * lines.width + c;
        for (int64_t row = 0; row < lines.rest; row++) {
            const double here = value(last[row * lines.channels]), off = here - centre;
            centre += off / ++n;
            sum += off * (here - centre);
        }
        mean[c] = centre, variance[c] = sum / n;
    }
}

template <class S, class T, bool RELU, bool ADDS>
void normalise(const Lines<T>& lines, const S* x, const S* added, const T* scale, const T* shift, S* y) {
    const auto one = [](auto here, auto a, auto b, auto plus) {
        auto found = here * a + b;
        if constexpr (ADDS) found += plus;
        if constexpr (RELU) found = positive(found);
        return found;
    };
    lines.walk([&](int64_t first, int n, int64_t place) {
        const Tile<T> a = Tile<T>::at(scale + place), b = Tile<T>::at(shift + place);
        for (int64_t at = first; n--; at += lines.width) {
            Tile<T> here = read(x + at);
            const Tile<T> plus = ADDS ? read(added + at) : here;
            for (int k = 0; k < WIDE; k++) here.part[k] = one(here.part[k], a.part[k], b.part[k], plus.part[k]);
            write(here, y + at);
        }
    });
    lines.walk_rest([&](int64_t at, int64_t place) {
        write_one(one(value(x[at]), scale[place], shift[place], ADDS ? value(added[at]) : T(0)), y + at);
    });
}

// Factors that are the same for all images, [channels] each in double precision, and as lines of T.
template <class T>
struct Factors {
    double *mean, *inverse, *each;  // inverse: 1 / standard deviation; each: to work in
    T *scale, *shift;                // x * scale + shift is what is normalised

    Factors(const Norm& norm, const Lines<T>& lines, double* moments)
        : mean(moments), inverse(moments + norm.channels) {
        each = static_cast<double*>(memory.take(size_t(norm.channels) * sizeof(double)));
        scale = line(lines), shift = line(lines);
    }
    static T* line(const Lines<T>& lines) { return static_cast<T*>(memory.take(size_t(lines.width) * sizeof(T))); }

    void set(const Norm& norm, const Lines<T>& lines) {
        const T *weight = static_cast<const T*>(norm.weight), *bias = static_cast<const T*>(norm.bias);
        for (int64_t c = 0; c < norm.channels; c++) each[c] = weight[c] * inverse[c];
        lines.repeat(each, scale);
        for (int64_t c = 0; c < norm.channels; c++) each[c] = bias[c] - mean[c] * (weight[c] * inverse[c]);
        lines.repeat(each, shift);
    }
};

// What a call takes from `memory`, at most, in lines and in channels.
template <class T>
bool reserve(const Lines<T>& lines) {
    return memory.reserve(size_t(lines.width + 64) * 2 * sizeof(double) + size_t(lines.width + 64) * 5 * sizeof(T) +
                          size_t(lines.channels + 64) * 3 * sizeof(double));
}

// y = x normalised (+ added, unless it is null), cut off at 0 if norm.relu. moments: to be kept for the gradient,
// double [2 * channels]. Moves the running statistics. False where there is no memory.
template <class S>
int32_t forward(const Norm& norm, const S* x, const S* added, double* moments, S* y) {
    using T = typename Computed<S>::Type;
    const Lines<T> lines(norm.rows, norm.channels);
    if (!reserve(lines)) return 0;
    Factors<T> factors(norm, lines, moments);
    double* mean = factors.mean;
    double* variance = factors.inverse;
    T *running_mean = static_cast<T*>(norm.running_mean), *running_var = static_cast<T*>(norm.running_var);
    if (norm.training) {
        double* sums = static_cast<double*>(memory.take(size_t(lines.width) * 2 * sizeof(double)));
        statistics(lines, x, sums, sums + lines.width, mean, variance);
    }
    const double unbiased = double(norm.rows) / double(norm.rows - 1);
    for (int64_t c = 0; c < norm.channels; c++) {
        if (!norm.training) {
            mean[c] = running_mean[c], variance[c] = running_var[c];
        } else if (running_mean) {
            running_mean[c] = T((1 - norm.momentum) * running_mean[c] + norm.momentum * mean[c]);
            running_var[c] = T((1 - norm.momentum) * running_var[c] + norm.momentum * unbiased * variance[c]);
        }
        factors.inverse[c] = 1 / ::sqrt(variance[c] + norm.eps);
    }
    factors.set(norm, lines);
    const auto chosen = norm.relu ? (added ? normalise<S, T, true, true> : normalise<S, T, true, false>)
                                  : (added ? normalise<S, T, false, true> : normalise<S, T, false, false>);
    chosen(lines, x, added, factors.scale, factors.shift, y);
    return 1;
}

enum Cut { NOT, AGAIN, OUTPUT };  // where ReLU cut off: nowhere, found out again from x, or read from the output

// The gradient by what was normalised, of which `first` and, unless it is null, `second` are the parts.
template <class S, Cut CUT>
struct Incoming {
    using T = typename Computed<S>::Type;
    const S *x, *y, *first, *second;

    template <class V>
    static inline V cut(V gradient, V x_here, V y_here, V scale, V shift) {
        if constexpr (CUT == NOT) return gradient;
        return (CUT == AGAIN ? x_here * scale + shift : y_here) > V{} ? gradient : V{};
    }
    inline Tile<T> at(int64_t i, const Tile<T>& x_here, const Tile<T>& scale, const Tile<T>& shift) const {
        Tile<T> found = read(first + i);
        if (second) {
            const Tile<T> more = read(second + i);
            for (int k = 0; k < WIDE; k++) found.part[k] += more.part[k];
        }
        const Tile<T> out = CUT == OUTPUT ? read(y + i) : found;
        for (int k = 0; k < WIDE; k++)
            found.part[k] = cut(found.part[k], x_here.part[k], out.part[k], scale.part[k], shift.part[k]);
        return found;
    }
    inline T one(int64_t i, T scale, T shift) const {
        const T gradient = second ? value(first[i]) + value(second[i]) : value(first[i]);
        return cut(gradient, value(x[i]), CUT == OUTPUT ? value(y[i]) : T(0), scale, shift);
    }
};

// Sums over the rows of the incoming gradient and of its products with x - mean, double [channels] each; kept: where
// the gradient itself is put, unless it is null. `sums`: double [2 * width].
template <class S, class T, Cut CUT>
void sum_gradients(const Lines<T>& lines, const Incoming<S, CUT>& incoming, const Factors<T>& factors,
                   const T* mean, S* kept, double* sums, double* total, double* product) {
    double* products = sums + lines.width;
    memset(sums, 0, size_t(lines.width) * 2 * sizeof(double));
    lines.walk([&](int64_t first, int n, int64_t place) {
        const Tile<T> a = Tile<T>::at(factors.scale + place), b = Tile<T>::at(factors.shift + place);
        const Tile<T> centre = Tile<T>::at(mean + place);
        Tile<T> of_run{}, off_run{};
        for (int64_t at = first; n--; at += lines.width) {
            const Tile<T> x = read(incoming.x + at), g = incoming.at(at, x, a, b);
            if (kept) write(g, kept + at);
            for (int k = 0; k < WIDE; k++) {
                of_run.part[k] += g.part[k];
                off_run.part[k] += g.part[k] * (x.part[k] - centre.part[k]);
            }
        }
        T one[TILE<T>], other[TILE<T>];
        of_run.put(one), off_run.put(other);
        for (int lane = 0; lane < TILE<T>; lane++) {
            sums[place + lane] += one[lane];
            products[place + lane] += other[lane];
        }
    });
    lines.walk_rest([&](int64_t at, int64_t place) {
        const T g = incoming.one(at, factors.scale[place], factors.shift[place]);
        if (kept) write_one(g, kept + at);
        sums[place] += g, products[place] += g * (value(incoming.x[at]) - mean[place]);
    });
    for (int64_t c = 0; c < lines.channels; c++) {
        total[c] = product[c] = 0;
        for (int64_t place = c; place < lines.width; place += lines.channels)
            total[c] += sums[place], product[c] += products[place];
    }
}

// dx = gradient * scale + (x - mean) * slope + level
template <class S, class T, Cut CUT>
void spread_gradients(const Lines<T>& lines, const Incoming<S, CUT>& incoming, const Factors<T>& factors,
                      const T* mean, const T* slope, const T* level, S* dx) {
    lines.walk([&](int64_t first, int n, int64_t place) {
        const Tile<T> a = Tile<T>::at(factors.scale + place), b = Tile<T>::at(factors.shift + place);
        const Tile<T> centre = Tile<T>::at(mean + place), q = Tile<T>::at(slope + place);
        const Tile<T> r = Tile<T>::at(level + place);
        for (int64_t at = first; n--; at += lines.width) {
            const Tile<T> x = read(incoming.x + at);
            Tile<T> g = incoming.at(at, x, a, b);
            for (int k = 0; k < WIDE; k++)
                g.part[k] = g.part[k] * a.part[k] + ((x.part[k] - centre.part[k]) * q.part[k] + r.part[k]);
            write(g, dx + at);
        }
    });
    lines.walk_rest([&](int64_t at, int64_t place) {
        const T g = incoming.one(at, factors.scale[place], factors.shift[place]);
        const T off = value(incoming.x[at]) - mean[place];
        write_one(g * factors.scale[place] + (off * slope[place] + level[place]), dx + at);
    });
}

// moments: what `forward` left. first, second: gradients by its output, the second null where there is one alone.
// y: the output, where ReLU cut off a sum, else null. kept: where the gradient by what was added is put, or may be;
// null where there is neither that nor a second gradient. dw, db: of weight and bias, T [channels].
template <class S, class T = typename Computed<S>::Type>
int32_t backward(const Norm& norm, double* moments, const S* x, const S* y, const S* first, const S* second, S* kept,
                 S* dx, T* dw, T* db) {
    const Lines<T> lines(norm.rows, norm.channels);
    if (!reserve(lines)) return 0;
    Factors<T> factors(norm, lines, moments);
    factors.set(norm, lines);
    T *mean = factors.line(lines), *slope = factors.line(lines), *level = factors.line(lines);
    double* total = static_cast<double*>(memory.take(size_t(norm.channels) * sizeof(double)));
    double* product = static_cast<double*>(memory.take(size_t(norm.channels) * sizeof(double)));
    double* sums = static_cast<double*>(memory.take(size_t(lines.width) * 2 * sizeof(double)));
    lines.repeat(factors.mean, mean);
    const auto add_up = [&](auto incoming) {
        sum_gradients(lines, incoming, factors, mean, kept, sums, total, product);
    };
    if (!norm.relu)
        add_up(Incoming<S, NOT>{x, y, first, second});
    else if (y)
        add_up(Incoming<S, OUTPUT>{x, y, first, second});
    else
        add_up(Incoming<S, AGAIN>{x, y, first, second});
    const T* weight = static_cast<const T*>(norm.weight);
    const double share = norm.training ? 1 / double(norm.rows) : 0;  // running statistics do not depend on x
    for (int64_t c = 0; c < norm.channels; c++) {
        db[c] = T(total[c]), dw[c] = T(product[c] * factors.inverse[c]);
        const double scale = weight[c] * factors.inverse[c] * share;
        product[c] *= -scale * factors.inverse[c] * factors.inverse[c];
        total[c] *= -scale;
    }
    lines.repeat(product, slope), lines.repeat(total, level);
    if (kept || !norm.relu)
        spread_gradients(lines, Incoming<S, NOT>{x, y, kept ? kept : first, nullptr}, factors, mean, slope, level, dx);
    else
        spread_gradients(lines, Incoming<S, AGAIN>{x, y, first, nullptr}, factors, mean, slope, level, dx);
    return 1;
}

}  // namespace

#define FUNCTIONS(S, T)                                                                                                \
    EXPORTED int32_t NAMED(norm_forward, S, ISA)(const Norm* norm, const S* x, const S* added, double* moments,        \
                                                 S* y) {                                                               \
        return forward<S>(*norm, x, added, moments, y);                                                                \
    }                                                                                                                  \
    EXPORTED int32_t NAMED(norm_backward, S, ISA)(const Norm* norm, double* moments, const S* x, const S* y,           \
                                                  const S* first, const S* second, S* kept, S* dx, T* dw, T* db) {     \
        return backward<S, T>(*norm, moments, x, y, first, second, kept, dx, dw, db);                                  \
    }

FUNCTIONS(float, float)
FUNCTIONS(double, double)
FUNCTIONS(bf16, float)
