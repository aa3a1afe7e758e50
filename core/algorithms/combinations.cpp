// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/combinations.h"

#include "core/number_formats/number_format.h"
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

bool fitsUnits(const Scheme& scheme)
{
    return scheme.granularity.kind == Granularity::Kind::Group || scheme.granularity.kind == Granularity::Kind::Channel;
}

/// Formats that find the codes and scales of a row together leave nothing for others to round.
bool packsRows(const Scheme& scheme)
{
    const NumberFormat* format = numberFormatOf(scheme.format);
    return format != nullptr && format->grid == nullptr;
}

std::string findsTogether(const Scheme& scheme)
{
    return std::string(nameOf(scheme.format)) + " finds scales and codes of a row together";
}

std::string cdRefusal(const Scheme& scheme)
{
    if (!isInteger(scheme.format))
        return clause(
            Algorithm::Cd, "fits grids of integers: " + std::string(nameOf(scheme.format)) + " takes gptq alone");
    if (scheme.range.kind != RangeEstimator::Kind::MinMax)
        return clause(Algorithm::Cd, "finds grids itself, in the place of range " + wordOf(scheme.range));
    if (scheme.scales != ScaleStorage::Float32 && scheme.scales != ScaleStorage::Float16)
        return clause(Algorithm::Cd,
            "finds scales that " + std::string(wordOf(scheme.scales)) + " does not hold: write s16 or s32");
    if (!fitsUnits(scheme))
        return clause(Algorithm::Cd, "works on groups or channels");
    for (const Algorithm other : {Algorithm::Gptq, Algorithm::Hqq, Algorithm::AdaRound})
        if (uses(scheme, other))
            return clause(Algorithm::Cd,
                (other == Algorithm::Gptq ? "has gptq in it: write +cd without +" : "stands in the place of ")
                    + std::string(nameOf(other)));
    return {};
}

std::string awqRefusal(const Scheme& scheme)
{
    if (packsRows(scheme))
        return clause(Algorithm::Awq, "cuts ranges: " + findsTogether(scheme));
    if (!fitsUnits(scheme))
        return clause(Algorithm::Awq, "works on groups or channels");
    if (scheme.range.kind != RangeEstimator::Kind::MinMax)
        return clause(Algorithm::Awq, "cuts ranges itself, in the place of range " + wordOf(scheme.range));
    if (scheme.scales == ScaleStorage::Double8)
        return clause(Algorithm::Awq, "finds each unit's scale by itself, which s8 rounds together");
    if (uses(scheme, Algorithm::Hqq))
        return clause(Algorithm::Awq, "cuts the ranges that hqq would replace");
    if (uses(scheme, Algorithm::Smooth))
        return clause(Algorithm::Awq, "scales the columns that smooth scales: one of them");
    if (uses(scheme, Algorithm::Hadamard))
        return clause(Algorithm::Awq, "looks at single columns, which hadamard mixes: one of them");
    return {};
}

std::string qatRefusal(const Scheme& scheme)
{
    if (packsRows(scheme))
        return clause(Algorithm::Qat, "trains weights between levels: " + findsTogether(scheme));
    if (scheme.granularity.kind == Granularity::Kind::Block)
        return clause(Algorithm::Qat, "trains each row by itself, and blocks span several: write channel or a group");
    for (const Algorithm other : {Algorithm::Gptq, Algorithm::Cd, Algorithm::AdaRound})
        if (uses(scheme, other))
            return clause(Algorithm::Qat,
                "chooses the codes that " + std::string(nameOf(other)) + " chooses"
                    + (other == Algorithm::AdaRound ? "" : ", and begins from them") + ": one of them");
    return {};
}

bool weighsErrors(const Scheme& scheme)
{
    return packsRows(scheme)
        || (takesRange(traitsOf(scheme.format).family) && scheme.range.kind != RangeEstimator::Kind::MinMax);
}

/// Of an algorithm that needs calibration, which is there.
std::string calibratedRefusal(const Scheme& scheme, Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Gptq:
        if (packsRows(scheme))
            return clause(algorithm, "rounds column by column: " + findsTogether(scheme));
        return uses(scheme, Algorithm::AdaRound) ? clause(algorithm, "and adaround round the same weights: one of them")
                                                 : std::string();
    case Algorithm::Cd: return cdRefusal(scheme);
    case Algorithm::Awq: return awqRefusal(scheme);
    case Algorithm::AdaRound:
        return isInteger(scheme.format)
            ? std::string()
            : clause(algorithm, "rounds integers up or down: " + std::string(nameOf(scheme.format)) + " takes gptq");
    case Algorithm::Imatrix:
        return weighsErrors(scheme) ? std::string()
                                    : clause(algorithm, "weighs errors, which minmax ranges do not look at: write mse");
    case Algorithm::Qat: return qatRefusal(scheme);
    default: return {};
    }
}

bool goesByInputs(Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Gptq:
    case Algorithm::Cd:
    case Algorithm::Awq:
    case Algorithm::Smooth:
    case Algorithm::AdaRound:
    case Algorithm::Imatrix:
    case Algorithm::Qat: return true;
    default: return false;
    }
}

std::string refusalOf(const Scheme& scheme, Algorithm algorithm, Calibration calibration)
{
    switch (algorithm) {
    case Algorithm::Gptq:
    case Algorithm::Cd:
    case Algorithm::Awq:
    case Algorithm::Smooth:
    case Algorithm::AdaRound:
    case Algorithm::Imatrix:
    case Algorithm::Qat:
        if (calibration == Calibration::Given)
            return calibratedRefusal(scheme, algorithm);
        return clause(algorithm,
            algorithm == Algorithm::Imatrix
                ? "is not written: given an importance matrix, an analysis weighs by it whatever searches"
                : "needs calibration, a layer's inputs when the model runs on text: hqq, hadamard, cle and range mse "
                  "need none");
    case Algorithm::Hqq: return hqqRefusal(scheme);
    case Algorithm::Equalization:
        if (calibration == Calibration::Given)
            return clause(algorithm, "changes the inputs that calibration saw: equalize first, then calibrate");
        return {};
    case Algorithm::Hadamard:
    case Algorithm::BiasCorrection: return {};
    }
    return clause(algorithm, "is unknown");
}

}  // namespace

std::string algorithmRefusal(const Scheme& scheme, Calibration calibration)
{
    const auto& all = scheme.algorithms;
    for (auto algorithm = all.begin(); algorithm != all.end(); ++algorithm) {
        if (traitsOf(scheme.format).family == FormatFamily::Plain)
            return clause(*algorithm, "has nothing to do: " + std::string(nameOf(scheme.format)) + " has no scale");
        if (std::find(all.begin(), algorithm, *algorithm) != algorithm)
            return clause(*algorithm, "is there twice");
        if (auto reason = refusalOf(scheme, *algorithm, calibration); !reason.empty())
            return reason;
    }
    const auto rotation = std::find(all.begin(), all.end(), Algorithm::Hadamard);
    for (const Algorithm scaling : {Algorithm::Equalization, Algorithm::Smooth})
        if (std::find(rotation, all.end(), scaling) != all.end())
            return clause(
                scaling, "scales columns, which hadamard mixes: write +" + std::string(nameOf(scaling)) + "+hadamard");
    return {};
}

bool needsInputs(const Scheme& scheme)
{
    return std::any_of(scheme.algorithms.begin(), scheme.algorithms.end(), goesByInputs);
}

Scheme withoutInputs(Scheme scheme)
{
    std::erase_if(scheme.algorithms, goesByInputs);
    return scheme;
}

bool uses(const Scheme& scheme, Algorithm algorithm)
{
    return std::find(scheme.algorithms.begin(), scheme.algorithms.end(), algorithm) != scheme.algorithms.end();
}

}  // namespace quantloupe
