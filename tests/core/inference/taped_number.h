// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers that note what they were made of, so that one result can be derived by all that went into it, one scalar
// operation at a time (Wengert, "A simple automatic derivative evaluation program", 1964).
#pragma once

#include "tests/core/inference/tiny_decoder.h"

#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

namespace quantloupe::tests {

class Tape
{
public:
    /// A number made of up to two others, by its slopes.
    std::size_t note(std::size_t a, double slopeA, std::size_t b = none, double slopeB = 0.0)
    {
        m_entries.push_back({a, b, slopeA, slopeB});
        return m_entries.size() - 1;
    }
    /// d result / d entry, of every entry.
    std::vector<double> derive(std::size_t result) const
    {
        std::vector<double> slopes(m_entries.size(), 0.0);
        slopes[result] = 1.0;
        for (auto i = result + 1; i-- > 0;) {
            const auto& entry = m_entries[i];
            if (entry.a != none)
                slopes[entry.a] += entry.slopeA * slopes[i];
            if (entry.b != none)
                slopes[entry.b] += entry.slopeB * slopes[i];
        }
        return slopes;
    }
    static constexpr std::size_t none = std::size_t(-1);

    /// Where numbers are noted.
    static Tape& current()
    {
        static Tape tape;
        return tape;
    }

private:
    struct Entry {
        std::size_t a, b;
        double slopeA, slopeB;
    };
    std::vector<Entry> m_entries;
};

struct Taped {
    double value = 0.0;
    std::size_t entry = Tape::none;  ///< none: a constant

    Taped(double number = 0.0)
        : value(number)
    {
    }
    Taped(double number, const Taped& a, double slopeA, const Taped& b = {}, double slopeB = 0.0)
        : value(number)
        , entry(Tape::current().note(a.entry, slopeA, b.entry, slopeB))
    {
    }

    friend Taped operator+(const Taped& a, const Taped& b) { return {a.value + b.value, a, 1.0, b, 1.0}; }
    friend Taped operator-(const Taped& a, const Taped& b) { return {a.value - b.value, a, 1.0, b, -1.0}; }
    friend Taped operator*(const Taped& a, const Taped& b) { return {a.value * b.value, a, b.value, b, a.value}; }
    friend Taped operator/(const Taped& a, const Taped& b)
    {
        return {a.value / b.value, a, 1.0 / b.value, b, -a.value / (b.value * b.value)};
    }
    friend Taped operator-(const Taped& a) { return {-a.value, a, -1.0}; }
    Taped& operator+=(const Taped& b) { return *this = *this + b; }
    Taped& operator*=(const Taped& b) { return *this = *this * b; }
    friend bool operator>(const Taped& a, const Taped& b) { return a.value > b.value; }
};

inline Taped exp(const Taped& x)
{
    return {std::exp(x.value), x, std::exp(x.value)};
}
inline Taped log(const Taped& x)
{
    return {std::log(x.value), x, 1.0 / x.value};
}
inline Taped sqrt(const Taped& x)
{
    return {std::sqrt(x.value), x, 0.5 / std::sqrt(x.value)};
}
inline Taped tanh(const Taped& x)
{
    return {std::tanh(x.value), x, 1.0 - std::tanh(x.value) * std::tanh(x.value)};
}
inline Taped erf(const Taped& x)
{
    return {std::erf(x.value), x, 2.0 / std::sqrt(std::numbers::pi) * std::exp(-x.value * x.value)};
}

/// Weights of which every use is noted.
class TapedWeights
{
public:
    Taped operator()(const TinyTensor& tensor, std::size_t index) const
    {
        const auto [found, isNew] = (*m_entries)[&tensor].try_emplace(index, Tape::none);
        if (isNew)
            found->second = Tape::current().note(Tape::none, 0.0);
        Taped number(double(tensor.values[index]));
        number.entry = found->second;
        return number;
    }
    /// ∂result/∂weights of a tensor, in its order; 0 where a weight was not used.
    std::vector<double> derivatives(const TinyTensor& tensor, const std::vector<double>& slopes) const
    {
        std::vector<double> out(tensor.values.size(), 0.0);
        for (const auto& [index, entry] : (*m_entries)[&tensor])
            out[index] = slopes[entry];
        return out;
    }

private:
    using Entries = std::map<const TinyTensor*, std::map<std::size_t, std::size_t>>;
    std::shared_ptr<Entries> m_entries = std::make_shared<Entries>();
};

}  // namespace quantloupe::tests
