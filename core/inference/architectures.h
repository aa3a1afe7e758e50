// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quantloupe {

enum class NormKind : std::uint8_t {
    Rms,         ///< x / √(mean x² + ε) · w
    RmsPlusOne,  ///< x / √(mean x² + ε) · (1 + w)
    Layer,       ///< (x − mean) / √(variance + ε) · w + b
};

/// How rows are normalised.
struct NormRule {
    NormKind kind = NormKind::Rms;
    bool inIntegers = false;  ///< by kernels::integerNormalize()

    constexpr NormRule(NormKind normKind = NormKind::Rms)
        : kind(normKind)
    {
    }
};

enum class Activation : std::uint8_t { Silu, Gelu, GeluTanh };

enum class PositionKind : std::uint8_t {
    Halves,   ///< rotary: element j of a head turns with element j + half
    Pairs,    ///< rotary: element 2j turns with element 2j + 1
    Learned,  ///< a table of positions is added to the embedding
};

/// What distinguishes a family of decoders from the others, where neither its figures nor its tensors tell.
struct Architecture {
    std::string_view name;  ///< config.json's model_type or GGUF's general.architecture
    NormRule norm {};
    PositionKind positions = PositionKind::Halves;
    Activation activation = Activation::Silu;
    double normEpsilon = 1e-6;     ///< where the file does not say
    double rotaryBase = 10'000.0;  ///< likewise
    bool scalesEmbedding = false;  ///< by √hidden
    bool normsOutputs = false;     ///< of attention and feed-forward too, before they are added
    /// Every n-th block attends to everything, the others to a sliding window; 0: all alike.
    std::uint64_t windowPattern = 0;
    double localRotaryBase = 0.0;                                   ///< of blocks with a window; 0: as the others
    bool normalizesExperts = true;                                  ///< where the file does not say
    std::uint64_t noRotaryInterval = 0;                             ///< every n-th block has no positions; 0: all have
    std::uint64_t heads = 0, keyValueHeads = 0, headDimension = 0;  ///< where the file does not say
    std::uint64_t wideHeadLayers = 0;  ///< models with so many blocks scale queries by hidden / heads; 0: none
};

/// Those that can be run, of both naming worlds; several rows share a name where the worlds differ.
std::span<const Architecture> architectures(NamingWorld world);

/// nullptr when it is not built.
const Architecture* findArchitecture(std::string_view name, NamingWorld world);

}  // namespace quantloupe
