// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_choices.h"

#include "core/analysis/analyze.h"
#include "core/schemes/format_traits.h"
#include "widgets/support/format_text.h"

#include <QCoreApplication>

#include <algorithm>
#include <array>

using quantloupe::Algorithm;
using quantloupe::Format;
using quantloupe::FormatFamily;
using quantloupe::Granularity;
using quantloupe::RangeEstimator;
using quantloupe::ScaleStorage;
using quantloupe::Scheme;
using quantloupe::Symmetry;

namespace {

struct SchemeChoices {
    Q_DECLARE_TR_FUNCTIONS(SchemeChoices)
};

constexpr std::array<std::uint32_t, 6> groupSizes {16, 32, 64, 128, 256, 512};
constexpr std::array<std::uint32_t, 4> blockSides {16, 32, 64, 128};
/// In the order of work.
constexpr std::array offeredAlgorithms {Algorithm::Equalization, Algorithm::Awq, Algorithm::Smooth, Algorithm::Hadamard,
    Algorithm::Imatrix, Algorithm::Hqq, Algorithm::Gptq, Algorithm::Cd, Algorithm::AdaRound, Algorithm::Qat,
    Algorithm::BiasCorrection};

bool goesByInputs(Algorithm algorithm)
{
    Scheme scheme;
    scheme.algorithms = {algorithm};
    return quantloupe::needsInputs(scheme);
}

int placeOf(Algorithm algorithm)
{
    const auto* found = std::find(offeredAlgorithms.begin(), offeredAlgorithms.end(), algorithm);
    return static_cast<int>(found - offeredAlgorithms.begin());
}

bool makesSense(const Scheme& scheme)
{
    // What goes by inputs is there only where they are known.
    return quantloupe::requireBuilt(scheme, quantloupe::Calibration::Given).has_value();
}

FormatFamily familyOf(Format format)
{
    return quantloupe::traitsOf(format).family;
}

/// The candidates with which the scheme makes sense.
template<class T>
QVector<T> fitting(const Scheme& scheme, T Scheme::*part, const QVector<T>& candidates)
{
    QVector<T> result;
    auto changed = scheme;
    for (const auto& candidate : candidates) {
        changed.*part = candidate;
        if (makesSense(changed))
            result << candidate;
    }
    return result;
}

/// Takes over a part of the old scheme if the new one makes sense with it.
template<class T>
void carryOver(Scheme& scheme, const Scheme& old, T Scheme::*part)
{
    auto changed = scheme;
    changed.*part = old.*part;
    if (makesSense(changed))
        scheme = changed;
}

FormatGroup groupOf(const QString& title, const QString& explanation, Format first, Format last)
{
    FormatGroup group {title, explanation, {}};
    for (const auto format : quantloupe::allFormats())
        if (format >= first && format <= last && makesSense(Scheme::of(format)))
            group.formats << format;
    return group;
}

}  // namespace

QVector<FormatGroup> formatGroups()
{
    QVector<FormatGroup> groups {
        groupOf(SchemeChoices::tr("Integer"),
            SchemeChoices::tr("Evenly spaced levels; the format with the widest support."), Format::Int2,
            Format::Ternary),
        groupOf(SchemeChoices::tr("Float"),
            SchemeChoices::tr("Small floating-point numbers: the error grows with the weight."), Format::Fp8E4M3,
            Format::Fp4E2M1),
        groupOf(SchemeChoices::tr("Microscaling"),
            SchemeChoices::tr("Small blocks with a scale of their own, as recent accelerators compute with."),
            Format::Mxfp8E4M3, Format::Mxint8),
        groupOf(SchemeChoices::tr("Code book"),
            SchemeChoices::tr("Fixed levels, placed where normally distributed weights are."), Format::Nf4,
            Format::Fp4Bnb),
        groupOf(SchemeChoices::tr("Look-up table"),
            SchemeChoices::tr("Levels fitted to the weights of each unit by k-means; takes longest to find."),
            Format::Lut2, Format::Lut4),
        groupOf(SchemeChoices::tr("Power of two"),
            SchemeChoices::tr("Levels that hardware multiplies with by shifting."), Format::Pot3, Format::Pot5),
        groupOf(SchemeChoices::tr("ggml"), SchemeChoices::tr("The block formats of GGUF files, scales and all."),
            Format::Q4_0, Format::Iq4Xs),
        groupOf(SchemeChoices::tr("Plain"), SchemeChoices::tr("Floating point without scales: a conversion."),
            Format::Fp32, Format::Bf16),
    };
    groups.removeIf([](const FormatGroup& group) { return group.formats.isEmpty(); });
    return groups;
}

QVector<Granularity> granularitiesFor(const Scheme& scheme)
{
    if (!takesGranularity(familyOf(scheme.format)))
        return {};
    QVector<Granularity> candidates {{Granularity::Kind::Tensor, 0, 0}, {Granularity::Kind::Channel, 0, 0}};
    for (const auto size : groupSizes)
        candidates << Granularity {Granularity::Kind::Group, 0, size};
    for (const auto side : blockSides)
        candidates << Granularity {Granularity::Kind::Block, side, side};
    return fitting(scheme, &Scheme::granularity, candidates);
}

QVector<Symmetry> symmetriesFor(const Scheme& scheme)
{
    if (!takesSymmetry(familyOf(scheme.format)))
        return {};
    return fitting<Symmetry>(scheme, &Scheme::symmetry,
        {Symmetry::Symmetric, Symmetry::SymmetricFull, Symmetry::Asymmetric, Symmetry::AsymmetricFloat});
}

QVector<RangeEstimator> rangesFor(const Scheme& scheme)
{
    if (!takesRange(familyOf(scheme.format)))
        return {};
    using Kind = RangeEstimator::Kind;
    return fitting<RangeEstimator>(scheme, &Scheme::range,
        {{Kind::MinMax, 100.0}, {Kind::Percentile, 99.0}, {Kind::Percentile, 99.9}, {Kind::Percentile, 99.99},
            {Kind::Mse, 100.0}, {Kind::Entropy, 100.0}});
}

QVector<ScaleStorage> scaleStoragesFor(const Scheme& scheme)
{
    if (!takesScale(familyOf(scheme.format)))
        return {};
    return fitting<ScaleStorage>(scheme, &Scheme::scales,
        {ScaleStorage::Float32, ScaleStorage::Float16, ScaleStorage::BFloat16, ScaleStorage::E8M0,
            ScaleStorage::Double8});
}

Scheme withFormat(const Scheme& old, Format format)
{
    auto scheme = Scheme::of(format);
    const auto before = familyOf(old.format);
    const auto now = familyOf(format);
    if (takesGranularity(before) && takesGranularity(now))
        carryOver(scheme, old, &Scheme::granularity);
    if (takesSymmetry(before) && takesSymmetry(now))
        carryOver(scheme, old, &Scheme::symmetry);
    if (takesRange(before) && takesRange(now))
        carryOver(scheme, old, &Scheme::range);
    if (takesScale(before) && takesScale(now))
        carryOver(scheme, old, &Scheme::scales);
    for (const auto algorithm : old.algorithms) {
        auto changed = scheme;
        changed.algorithms.push_back(algorithm);
        if (makesSense(changed))
            scheme = changed;
    }
    return scheme;
}

QVector<Algorithm> algorithmsFor(const Scheme& scheme, quantloupe::Calibration calibration)
{
    QVector<Algorithm> result;
    for (const auto algorithm : offeredAlgorithms)
        if (calibration == quantloupe::Calibration::Given || !goesByInputs(algorithm)
            || quantloupe::uses(scheme, algorithm))
            result << algorithm;
    for (const auto algorithm : scheme.algorithms)
        if (!result.contains(algorithm))
            result << algorithm;
    return result;
}

Scheme toggled(const Scheme& scheme, Algorithm algorithm)
{
    auto changed = scheme;
    if (std::erase(changed.algorithms, algorithm) > 0)
        return changed;
    const auto later = std::find_if(changed.algorithms.begin(), changed.algorithms.end(),
        [place = placeOf(algorithm)](Algorithm other) { return placeOf(other) > place; });
    changed.algorithms.insert(later, algorithm);
    return changed;
}

QString refusalOf(const Scheme& scheme, quantloupe::Calibration calibration)
{
    const auto built = quantloupe::requireBuilt(scheme, calibration);
    return built ? QString() : QString::fromStdString(built.error().reason);
}

QString nameInWords(Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Equalization: return SchemeChoices::tr("cross-layer equalization");
    case Algorithm::Hadamard: return SchemeChoices::tr("Hadamard rotation");
    case Algorithm::Hqq: return SchemeChoices::tr("half-quadratic minimums");
    case Algorithm::BiasCorrection: return SchemeChoices::tr("bias correction");
    case Algorithm::Awq: return SchemeChoices::tr("activation-aware scaling");
    case Algorithm::Smooth: return SchemeChoices::tr("SmoothQuant scaling");
    case Algorithm::Imatrix: return SchemeChoices::tr("weighed by inputs");
    case Algorithm::Gptq: return SchemeChoices::tr("error propagation");
    case Algorithm::Cd: return SchemeChoices::tr("least squares and descent");
    case Algorithm::AdaRound: return SchemeChoices::tr("learned rounding");
    case Algorithm::Qat: return SchemeChoices::tr("layer-wise training");
    default: return {};
    }
}

QString explanationOf(Algorithm algorithm)
{
    switch (algorithm) {
    case Algorithm::Equalization:
        return SchemeChoices::tr("Moves scale between this matrix and the one that feeds it, "
                                 "so that both have channels of like range. Exact for up/down and value/output pairs.");
    case Algorithm::Hadamard:
        return SchemeChoices::tr("Mixes the inputs so that outliers spread evenly. Helps integers "
                                 "with few bits; the inverse must run at inference or be folded into a neighbour.");
    case Algorithm::Hqq:
        return SchemeChoices::tr("Shifts the floating minimum of each group so that most "
                                 "weights fit better and outliers count less. For asymf integers with minmax range.");
    case Algorithm::BiasCorrection:
        return SchemeChoices::tr("Puts back what rounding took from mean and spread of each output "
                                 "channel.");
    case Algorithm::Awq:
        return SchemeChoices::tr(
            "Multiplies the columns that loud inputs meet before rounding, and divides the inputs: "
            "what matters most is rounded finest. Cuts ranges where that helps.");
    case Algorithm::Smooth:
        return SchemeChoices::tr("Moves outliers from the inputs into the weights, so that both can be quantized.");
    case Algorithm::Imatrix:
        return SchemeChoices::tr("Weighs errors by the mean square of the inputs wherever scales or codes are searched "
                                 "for.");
    case Algorithm::Gptq:
        return SchemeChoices::tr("Rounds column by column and makes the columns that follow take up the error.");
    case Algorithm::Cd:
        return SchemeChoices::tr(
            "Grids by least squares, gptq on them, then descent on the codes: the least output error "
            "of what does not train.");
    case Algorithm::AdaRound:
        return SchemeChoices::tr("Learns for each weight whether to round up or down. Takes long.");
    case Algorithm::Qat:
        return SchemeChoices::tr(
            "Trains weights and grids of each matrix by itself on its calibrated inputs, from where "
            "descent ends: the least output error of what is offered. Takes minutes for a large "
            "matrix.");
    default: return SchemeChoices::tr("Needs activations of the model.");
    }
}

QString explanationOf(Format format)
{
    // Any large matrix does: the size per weight hardly depends on it.
    constexpr quantloupe::MatrixShape large {4096, 4096};
    const auto scheme = Scheme::of(format);
    const auto& traits = quantloupe::traitsOf(format);
    auto text = SchemeChoices::tr("%1: %2 as it is picked here")
                    .arg(wordText(traits.name), format::bitsPerWeight(scheme.bitsPerWeight(large)));
    if (traits.blockElements != 0)
        text = SchemeChoices::tr("%1: %2, in blocks of %3 weights")
                   .arg(wordText(traits.name), format::bitsPerWeight(scheme.bitsPerWeight(large)))
                   .arg(traits.blockElements);
    return text;
}

QString textOf(const Granularity& granularity)
{
    switch (granularity.kind) {
    case Granularity::Kind::Tensor: return SchemeChoices::tr("per tensor");
    case Granularity::Kind::Channel: return SchemeChoices::tr("per channel");
    case Granularity::Kind::Group: return SchemeChoices::tr("group %1").arg(granularity.columns);
    case Granularity::Kind::Block: return SchemeChoices::tr("%1 × %2").arg(granularity.rows).arg(granularity.columns);
    case Granularity::Kind::Own: return SchemeChoices::tr("own block");
    default: return wordText(wordOf(granularity));
    }
}

QString textOf(Symmetry symmetry)
{
    return wordText(wordOf(symmetry));
}

QString textOf(const RangeEstimator& range)
{
    switch (range.kind) {
    case RangeEstimator::Kind::MinMax: return SchemeChoices::tr("min–max");
    case RangeEstimator::Kind::Mse: return SchemeChoices::tr("least MSE");
    case RangeEstimator::Kind::Entropy: return SchemeChoices::tr("entropy");
    default: return wordText(wordOf(range));
    }
}

QString textOf(ScaleStorage storage)
{
    switch (storage) {
    case ScaleStorage::Float32: return SchemeChoices::tr("FP32 scales (s32)");
    case ScaleStorage::Float16: return SchemeChoices::tr("FP16 scales (s16)");
    case ScaleStorage::BFloat16: return SchemeChoices::tr("BF16 scales (sbf16)");
    case ScaleStorage::E8M0: return SchemeChoices::tr("Powers of two, 8 bits (se8m0)");
    case ScaleStorage::Double8: return SchemeChoices::tr("Quantized again, 8 bits (s8)");
    }
    return {};
}

QString wordText(std::string_view word)
{
    return QString::fromUtf8(word.data(), static_cast<qsizetype>(word.size()));
}
