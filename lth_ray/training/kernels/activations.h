// Activations between layers, and what they do to gradients, on tiles.
//
// ReLU's slope is read off its result, that of a curve is kept beside it. In float curves are computed by vectors, to a
// few units in the last place; in double precision, in which tests compare, lane by lane.
#pragma once

#include "layers.h"

// In the order of kernels/library.py.
enum Activation : int32_t { RELU, TANH, SIGMOID, GELU, GELU_TANH };

namespace {

template <class T>
void rectify(T* y, int features) {
    for (int f = 0; f < features; f++)
        for (int j = 0; j < WIDE; j++) {
            Vector<T>& value = tile(y, f)[j];
            value = value < Vector<T>{} ? Vector<T>{} : value;  // so that NaN stays what it is
        }
}

// The gradient dx of what ReLU gave, y, becomes that of what it was given.
template <class T>
void cut(T* dx, const T* y, int features) {
    for (int f = 0; f < features; f++)
        for (int j = 0; j < WIDE; j++)
            tile(dx, f)[j] = tile(y, f)[j] <= Vector<T>{} ? Vector<T>{} : tile(dx, f)[j];
}

template <class T>
void scale(T* y, const T* by, int features) {
    for (int f = 0; f < features; f++)
        for (int j = 0; j < WIDE; j++) tile(y, f)[j] *= tile(by, f)[j];
}

template <class Function>
inline Vector<double> each(Vector<double> x, Function function) {
    for (int lane = 0; lane < LANES<double>; lane++) x[lane] = function(x[lane]);
    return x;
}

// exp(x) - LESS, LESS being 0 or 1: 2^n exp(r) - LESS, of which n is the whole number next to x / log(2); of the series
// of exp(r) so many terms are taken as float can tell. x is held between -88, where 2^n is zero, and 88.
template <int LESS>
inline Vector<float> exponentials(Vector<float> x) {
    const float terms[] = {1 / 5040.0f, 1 / 720.0f, 1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 1 / 2.0f};
    x = x < all(-88.0f) ? all(-88.0f) : x;  // and NaN stays what it is
    x = x > all(88.0f) ? all(88.0f) : x;
    const Vector<float> shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: n is in its last bits
    const Vector<float> n = shifted - 12582912.0f;
    const Vector<float> r = x - n * 0.693359375f + n * 2.12194440e-4f;  // log(2) is the difference of these
    Vector<float> series{};
#pragma GCC unroll 6
    for (const float term : terms) series = series * r + term;
    const Vector<float> power = Vector<float>((Of<float>::Lanes(shifted) << 23) + 0x3f800000);  // 2^n, by its exponent
    return power * (r + r * r * series) + (power - float(LESS));
}
template <int LESS>
inline Vector<double> exponentials(Vector<double> x) {
    x = x > all(700.0) ? all(700.0) : x;
    return each(x, [](double one) { return LESS ? ::expm1(one) : ::exp(one); });
}

// The share of the normal distribution that lies beyond x >= 0; power: exp(-x^2 / 2). The form is Hastings' (Abramowitz
// and Stegun, Handbook of Mathematical Functions, 7.1.26), with eight terms instead of five and coefficients fitted
// anew, for the least relative error: 8.3e-8.
inline Vector<float> beyond(Vector<float> x, Vector<float> power) {
    const float terms[] = {0.0367415361f, -0.161679264f, 0.214132973f, -0.0609201188f,
                           0.132440294f,  0.0987191892f, 0.120949076f, 0.119616273f};
    const Vector<float> t = 1.0f / (1.0f + 0.3f * x);
    Vector<float> share{};
#pragma GCC unroll 8
    for (const float term : terms) share = (share + term) * t;
    return share * power;
}
inline Vector<double> beyond(Vector<double> x, Vector<double>) {
    return each(x, [](double one) { return 0.5 * ::erfc(one * 0.70710678118654752440); });
}

template <class T>
inline Vector<T> sigmoid(Vector<T> x, Vector<T>& slope) {
    const Vector<T> power = exponentials<0>(x < Vector<T>{} ? x : -x), larger = T(1) / (T(1) + power);
    slope = power * larger * larger;
    return x < Vector<T>{} ? power * larger : larger;
}

// What an activation makes of x; `slope` becomes its derivative there.
template <Activation KIND, class T>
inline Vector<T> curve(Vector<T> x, Vector<T>& slope) {
    if constexpr (KIND == TANH) {
        const Vector<T> power = exponentials<1>(T(2) * (x < Vector<T>{} ? -x : x)), y = power / (power + T(2));
        slope = T(1) - y * y;
        return x < Vector<T>{} ? -y : y;
    } else if constexpr (KIND == SIGMOID) {
        return sigmoid<T>(x, slope);
    } else if constexpr (KIND == GELU) {
        const Vector<T> power = exponentials<0>(x * x * T(-0.5));
        const Vector<T> tail = beyond(x < Vector<T>{} ? -x : x, power), share = x < Vector<T>{} ? tail : T(1) - tail;
        slope = share + x * power * T(0.39894228040143267794);  // 1 / sqrt(2 pi)
        return x * share;
    } else {  // (1 + tanh(u / 2)) / 2 is the sigmoid of u
        const T by = T(1.59576912160573071176), cubed = T(0.044715);  // 2 sqrt(2 / pi); Hendrycks and Gimpel, 2016
        const Vector<T> y = sigmoid<T>(by * (x + cubed * x * x * x), slope);
        slope = y + x * slope * by * (T(1) + 3 * cubed * x * x);
        return x * y;
    }
}

// y becomes what an activation makes of it, and `slopes`, where that is not null, its derivative.
template <Activation KIND, class T>
__attribute__((noinline)) void bend(T* y, T* slopes, int features) {
    for (int f = 0; f < features; f++)
        for (int j = 0; j < WIDE; j++) {
            Vector<T> slope;
            tile(y, f)[j] = curve<KIND, T>(tile(y, f)[j], slope);
            if (slopes) tile(slopes, f)[j] = slope;
        }
}

template <class T>
void activate(int32_t kind, T* y, T* slopes, int features) {
    if (kind == RELU) return rectify(y, features);
    const auto bent = kind == TANH      ? bend<TANH, T>
                      : kind == SIGMOID ? bend<SIGMOID, T>
                      : kind == GELU    ? bend<GELU, T>
                                        : bend<GELU_TANH, T>;
    bent(y, slopes, features);
}

}  // namespace
