// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/combinations.h"

#include "core/schemes/format_traits.h"

#include <algorithm>
#include <string_view>

namespace quantloupe {
namespace {

std::string clause(Algorithm algorithm, std::string_view reason)
{
    return std::string("algorithm ").append(nameOf(algorithm)).append(" ").append(reason);
}

std::string hqqRefusal(const Scheme& scheme)
{
    using Kind = Granularity::Kind;
    if (!isInteger(scheme.format))
        return clause(Algorithm::Hqq, "fits integers: " + std::string(nameOf(scheme.format)) + " has no zero point");
    if (scheme.symmetry != Symmetry::AsymmetricFloat)
        return clause(Algorithm::Hqq, "moves a floating minimum: write asymf");
    if (scheme.range.kind != RangeEstimator::Kind::MinMax)
        return clause(Algorithm::Hqq, "finds grids itself, in the place of range " + wordOf(scheme.range));
    if (scheme.scales != ScaleStorage::Float32 && scheme.scales != ScaleStorage::Float16)
        return clause(Algorithm::Hqq,
            "finds scales that " + std::string(wordOf(scheme.scales)) + " does not hold: write s16 or s32");
    if (scheme.granularity.kind != Kind::Group && scheme.granularity.kind != Kind::Channel)
        return clause(Algorithm::Hqq, "works on groups or channels");
    return {};
}

std::string refusalOf(const Scheme& scheme, Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Gptq:
    case Algorithm::Cd:
    case Algorithm::Awq:
    case Algorithm::Smooth:
    case Algorithm::AdaRound:
    case Algorithm::Qat: return clause(algorithm, "needs activations of the model: it is not built yet");
    case Algorithm::Imatrix:
        return clause(algorithm,
            "asks for an importance matrix, made of activations: given one, an analysis weighs by it whatever "
            "searches");
    case Algorithm::Hqq: return hqqRefusal(scheme);
    case Algorithm::Hadamard:
    case Algorithm::BiasCorrection:
    case Algorithm::Equalization: return {};
    }
    return clause(algorithm, "is unknown");
}

}  // namespace

std::string algorithmRefusal(const Scheme& scheme)
{
    const auto& all = scheme.algorithms;
    for (auto algorithm = all.begin(); algorithm != all.end(); ++algorithm) {
        if (traitsOf(scheme.format).family == FormatFamily::Plain)
            return clause(*algorithm, "has nothing to do: " + std::string(nameOf(scheme.format)) + " has no scale");
        if (std::find(all.begin(), algorithm, *algorithm) != algorithm)
            return clause(*algorithm, "is there twice");
        if (auto reason = refusalOf(scheme, *algorithm); !reason.empty())
            return reason;
    }
    const auto rotation = std::find(all.begin(), all.end(), Algorithm::Hadamard);
    if (std::find(rotation, all.end(), Algorithm::Equalization) != all.end())
        return clause(Algorithm::Equalization, "scales columns, which hadamard mixes: write +cle+hadamard");
    return {};
}

bool uses(const Scheme& scheme, Algorithm algorithm)
{
    return std::find(scheme.algorithms.begin(), scheme.algorithms.end(), algorithm) != scheme.algorithms.end();
}

}  // namespace quantloupe
