// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/tensor/tensor_view.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// The numbers that weights become. Spelling: cli notation, e.g. Int4 is "int4".
enum class Format : std::uint8_t {
    Int2,
    Int3,
    Int4,
    Int5,
    Int6,
    Int7,
    Int8,
    Int16,
    Ternary,
    Fp32,
    Fp16,
    Bf16,
    Fp8E4M3,
    Fp8E5M2,
    Fp6E2M3,
    Fp6E3M2,
    Fp4E2M1,
    Nf4,
    Fp4Bnb,
    Lut2,
    Lut3,
    Lut4,
    Pot3,
    Pot4,
    Pot5,
    Mxfp8E4M3,
    Mxfp8E5M2,
    Mxfp6E2M3,
    Mxfp6E3M2,
    Mxfp4,
    Nvfp4,
    Mxint8,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Iq4Nl,
    Iq4Xs,
};

/// Which weights share one scale.
struct Granularity {
    enum class Kind : std::uint8_t {
        Tensor,   ///< one scale
        Channel,  ///< one per output channel (row)
        Group,    ///< one per `columns` consecutive weights of a row; the last group of a row may be shorter
        Block,    ///< one per rows×columns rectangle
        Token,    ///< one per activation row
        Own,      ///< the format has a block of its own, or no scale at all
    };
    Kind kind = Kind::Channel;
    std::uint32_t rows = 0;     ///< Block only
    std::uint32_t columns = 0;  ///< Group and Block only
    bool operator==(const Granularity&) const = default;
};

enum class Symmetry : std::uint8_t {
    Symmetric,        ///< sym: −(2^(b−1)−1) … 2^(b−1)−1, scale absmax/(2^(b−1)−1)
    SymmetricFull,    ///< symf: −2^(b−1) … 2^(b−1)−1, scale absmax/((2^b−1)/2)
    Asymmetric,       ///< asym: integer zero point, zero always representable
    AsymmetricFloat,  ///< asymf: floating minimum instead of a zero point
};

/// How the range of a unit is chosen.
struct RangeEstimator {
    enum class Kind : std::uint8_t { MinMax, Percentile, Mse, Entropy };
    Kind kind = Kind::MinMax;
    double percentile = 100.0;  ///< per cent; Percentile only
    bool operator==(const RangeEstimator&) const = default;
};

enum class ScaleStorage : std::uint8_t { Float32, Float16, BFloat16, E8M0, Double8 };

enum class Algorithm : std::uint8_t {
    Gptq,
    Cd,
    Awq,
    Smooth,
    Hqq,
    AdaRound,
    Hadamard,
    BiasCorrection,
    Equalization,
    Imatrix,
    Qat,
};

/// One quantization scheme: a value with a one-line notation (docs: README, "Scheme notation").
///
/// Scale storage is what the scales take in a file; it counts in every size. Codes are chosen by scales rounded to it,
/// but for FP16, which the original implementations leave out too: whoever writes bytes rounds to that.
struct Scheme {
    Format format = Format::Int8;
    Granularity granularity {};
    Symmetry symmetry = Symmetry::Symmetric;
    RangeEstimator range {};
    ScaleStorage scales = ScaleStorage::Float16;
    std::vector<Algorithm> algorithms {};  ///< in the order given

    bool operator==(const Scheme&) const = default;

    /// A format with all its defaults: what parse() gives for its bare name.
    static Scheme of(Format format);
    /// Reads the notation and fills in defaults. Errors: InvalidArgument naming the part and what is allowed.
    static Result<Scheme> parse(std::string_view text);
    /// Canonical, shortest spelling: parse(toString()) gives the same value.
    std::string toString() const;

    /// Exact bytes of a matrix under this scheme: packed codes (rows padded to whole bytes), scales, zero points,
    /// minimums, block padding, and the factor and shift that biascorr gives each output channel.
    std::uint64_t storedBytes(const MatrixShape& shape) const;
    /// storedBytes × 8 / elements. An integer zero point counts its code width, a floating minimum the scale storage.
    double bitsPerWeight(const MatrixShape& shape) const;
};

/// Code width of a format in bits, without scales: 4 for int4 and nf4, 1.6 for ternary (5 per byte).
double codeBits(Format format);
std::string_view nameOf(Format format);
std::string_view nameOf(Algorithm algorithm);
/// Every format in notation order, for menus and messages.
std::span<const Format> allFormats();
bool isInteger(Format format);

/// WEIGHTS[/ACTIVATIONS], e.g. "int8:channel/int8:token".
struct LayerPlan {
    Scheme weights;
    std::optional<Scheme> activations;
    bool operator==(const LayerPlan&) const = default;
    static Result<LayerPlan> parse(std::string_view text);
    std::string toString() const;
};

}  // namespace quantloupe

template<>
struct std::hash<quantloupe::Scheme> {
    std::size_t operator()(const quantloupe::Scheme& scheme) const noexcept
    {
        return std::hash<std::string> {}(scheme.toString());
    }
};
