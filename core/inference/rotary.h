// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/base/error.h"
#include "core/inference/architectures.h"
#include "core/kernels/dense_algebra.h"
#include "core/model/decoder_settings.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace quantloupe {

/// How positions turn the pairs of a head: pair i of position p by the angle p · frequency[i]. A value.
struct Rotary {
    std::vector<double> frequencies {};      ///< one per pair; half the turned elements of a head
    std::vector<double> longFrequencies {};  ///< of longrope: for sequences beyond `originalContext`
    float attentionFactor = 1.0F;            ///< scales what is turned
    double originalContext = 0.0;
    /// Of dynamic scaling: base, factor and dimensions, from which longer sequences get other frequencies.
    struct Dynamic {
        double base = 0.0, factor = 1.0;
    };
    std::optional<Dynamic> dynamic {};
};

/// What divides the frequencies where the checkpoint stores it as tensors: GGUF's rope_freqs, rope_factors_short and
/// rope_factors_long.
struct RotaryFactors {
    std::vector<float> all {}, shortOnes {}, longOnes {};
};

/// `dimensions`: elements of a head that are turned. Errors: Unsupported (the type, by name), Malformed (a figure that
/// is missing or out of range).
Result<Rotary> makeRotary(const RotaryScaling& scaling, double base, std::size_t dimensions,
    std::optional<std::uint64_t> contextLength, const RotaryFactors& factors);

/// Cosines and sines of every position of a sequence: [length × pairs].
struct RotaryTable {
    std::size_t pairs = 0;
    std::vector<float> cosines {}, sines {};
};
RotaryTable rotaryTable(const Rotary& rotary, std::size_t length);

/// Turns the heads that lie side by side in the rows of `values`, in place; row 0 is position `firstPosition`.
void rotateHeads(kernels::MutableMatrix values, std::size_t headDimension, const RotaryTable& table,
    std::size_t firstPosition, PositionKind kind);

}  // namespace quantloupe
