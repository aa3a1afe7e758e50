// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/trained_quantizer.h"

#include "core/algorithms/grid_choice.h"
#include "core/number_formats/packed_matrix.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

constexpr float kSmallestScale = 1e-8F;
/// 1.5·2²³: with it added, a number of at most 2²² has no place for fractions. To nearest, ties to even.
constexpr float kRounder = 12'582'912.0F;

tl::unexpected<Error> doesNotGo(const Scheme& scheme, StepRule rule, const char* why)
{
    return failure(ErrorCode::Unsupported, "scheme '" + scheme.toString() + "'",
        "cannot be trained by " + std::string(nameOf(rule)) + ": " + why);
}

Result<void> requireFitting(const Scheme& scheme, StepRule rule)
{
    if (rule == StepRule::Estimated)
        return {};
    if (!isInteger(scheme.format) || scheme.format == Format::Int16)
        return doesNotGo(scheme, rule, "it learns the steps of integers of up to 8 bits; ste trains any format");
    using Kind = Granularity::Kind;
    if (scheme.granularity.kind != Kind::Group && scheme.granularity.kind != Kind::Channel)
        return doesNotGo(scheme, rule, "it learns a step for each group or channel");
    if (scheme.scales != ScaleStorage::Float32 && scheme.scales != ScaleStorage::Float16)
        return doesNotGo(scheme, rule, "it learns scales that are stored as s32 or s16");
    if (rule == StepRule::Scale && scheme.symmetry == Symmetry::AsymmetricFloat)
        return doesNotGo(scheme, rule, "it learns a scale alone: sym, symf or asym");
    if (rule == StepRule::Affine && scheme.symmetry != Symmetry::AsymmetricFloat)
        return doesNotGo(scheme, rule, "it learns a floating minimum: asymf");
    return {};
}

/// Scales that are rounded together have been already, where they were chosen.
std::vector<UnitGrid> asStored(const Scheme& scheme, std::span<const UnitGrid> grids)
{
    return scheme.scales == ScaleStorage::Double8 ? std::vector<UnitGrid>(grids.begin(), grids.end())
                                                  : storedGrids(scheme, grids);
}

constexpr std::array kStepRules {StepRule::Estimated, StepRule::Scale, StepRule::Affine};

}  // namespace

std::string_view nameOf(StepRule rule)
{
    switch (rule) {
    case StepRule::Estimated: return "ste";
    case StepRule::Scale: return "lsq";
    case StepRule::Affine: return "aff";
    }
    return "ste";
}

std::optional<StepRule> stepRuleNamed(std::string_view name)
{
    const auto* found =
        std::find_if(kStepRules.begin(), kStepRules.end(), [&](StepRule rule) { return nameOf(rule) == name; });
    return found == kStepRules.end() ? std::nullopt : std::optional(*found);
}

TrainedQuantizer::TrainedQuantizer(Quantizer quantizer, StepRule rule, std::size_t rows)
    : m_quantizer(std::move(quantizer))
    , m_rule(rule)
    , m_rows(rows)
{
}

Result<TrainedQuantizer> TrainedQuantizer::create(
    const Scheme& scheme, StepRule rule, std::size_t rows, std::size_t columns)
{
    if (!scheme.algorithms.empty())
        return doesNotGo(scheme, rule, "training finds the codes, name the scheme without algorithms");
    if (auto fits = requireFitting(scheme, rule); !fits)
        return tl::unexpected(fits.error());
    auto quantizer = Quantizer::create(scheme, columns);
    if (!quantizer)
        return tl::unexpected(quantizer.error());
    TrainedQuantizer trained(std::move(*quantizer), rule, rows);
    if (rule != StepRule::Estimated) {
        const auto codes = trained.m_quantizer.codeCount() / 2;
        const auto half = static_cast<float>(codes);
        trained.m_lowest = scheme.symmetry == Symmetry::SymmetricFull ? -half : 1.0F - half;
        trained.m_highest = half - 1.0F;
        if (trained.hasOrigins()) {
            trained.m_lowest = 0.0F;
            trained.m_highest = (2.0F * half) - 1.0F;
        }
    }
    return trained;
}

bool TrainedQuantizer::keepsZeroPoints() const
{
    return m_rule == StepRule::Scale && m_quantizer.scheme().symmetry == Symmetry::Asymmetric;
}

TrainedQuantizer TrainedQuantizer::ofRows(std::size_t rows) const
{
    TrainedQuantizer other(m_quantizer, m_rule, rows);
    other.m_lowest = m_lowest;
    other.m_highest = m_highest;
    return other;
}

bool TrainedQuantizer::initialize(
    std::span<const float> weights, std::span<const float> importance, const std::stop_token& stop)
{
    if (m_rule == StepRule::Estimated)
        return true;
    const auto grids = leastSquaresGridsOf(m_quantizer, weights, m_rows, importance, stop);
    initialize(grids);
    return !grids.empty();
}

void TrainedQuantizer::initialize(std::span<const UnitGrid> grids)
{
    m_parameters.clear();
    if (m_rule == StepRule::Estimated) {
        m_givenGrids = asStored(m_quantizer.scheme(), grids);
        return;
    }
    for (const auto& grid : grids)
        m_parameters.push_back(grid.scale);
    if (hasOrigins())
        for (const auto& grid : grids)
            m_parameters.push_back(grid.zero);
    clampParameters();
}

std::size_t TrainedQuantizer::parameterCount() const
{
    return m_rule == StepRule::Estimated ? 0 : hasOrigins() ? 2 * units() : units();
}

void TrainedQuantizer::clampParameters()
{
    for (std::size_t i = 0; i < units() && i < m_parameters.size(); ++i)
        m_parameters[i] = std::max(m_parameters[i], kSmallestScale);
}

bool TrainedQuantizer::quantize(std::span<const float> weights, std::span<float> result, const std::stop_token& stop)
{
    if (m_quantizer.needsTensorAbsMax()) {
        float largest = 0.0F;
        for (const float weight : weights)
            largest = std::max(largest, std::abs(weight));
        m_quantizer.setTensorAbsMax(largest);
    }
    const auto columns = m_quantizer.columns();
    if (!m_quantizer.hasGrids()) {
        std::vector<std::byte> packed(m_quantizer.packedRowBytes());
        for (std::size_t row = 0; row < m_rows && !stop.stop_requested(); ++row) {
            m_quantizer.pack(weights.subspan(row * columns, columns), 1, packed);
            m_quantizer.unpack(packed, 1, result.subspan(row * columns, columns));
        }
        return !stop.stop_requested();
    }
    if (!m_givenGrids.empty()) {
        m_grids = m_givenGrids;
        m_quantizer.fakeQuantize(weights, m_rows, m_grids, result);
        return !stop.stop_requested();
    }
    if (m_rule == StepRule::Estimated) {
        m_grids = chooseGrids(m_quantizer, weights, m_rows, stop);
        if (m_grids.empty())
            return false;
    } else {
        const auto count = units();
        const auto code = m_quantizer.codeCount() / 2;
        const auto middle = static_cast<float>(code);
        m_grids.resize(count);
        for (std::size_t i = 0; i < count; ++i)
            m_grids[i] = {m_parameters[i], hasOrigins() ? m_parameters[count + i] : middle};
    }
    m_grids = asStored(m_quantizer.scheme(), m_grids);
    m_quantizer.fakeQuantize(weights, m_rows, m_grids, result);
    return !stop.stop_requested();
}

void TrainedQuantizer::propagateRow(
    std::size_t row, const float* weights, float* gradient, std::span<float> scales, std::span<float> minima) const
{
    const auto columns = m_quantizer.columns(), length = m_quantizer.unitLength(), perRow = m_quantizer.unitsPerRow();
    for (std::size_t unit = 0; unit < perRow; ++unit) {
        const auto& grid = m_grids[(row * perRow) + unit];
        const float offset = m_rule == StepRule::Affine ? grid.zero : 0.0F;
        const float zero = keepsZeroPoints() ? grid.zero : 0.0F;
        const float lowest = m_lowest - zero, highest = m_highest - zero;
        double byScale = 0.0, byMinimum = 0.0;
        for (auto i = unit * length; i < std::min((unit + 1) * length, columns); ++i) {
            const float place = (weights[i] - offset) / grid.scale;
            const auto given = static_cast<double>(gradient[i]);
            if (place >= lowest && place <= highest) {
                byScale += given * static_cast<double>(((place + kRounder) - kRounder) - place);
                continue;
            }
            byScale += given * static_cast<double>(place < lowest ? lowest : highest);
            byMinimum += given;
            gradient[i] = 0.0F;
        }
        scales[unit] += static_cast<float>(byScale);
        if (m_rule == StepRule::Affine)
            minima[unit] += static_cast<float>(byMinimum);
    }
}

void TrainedQuantizer::propagate(
    std::span<const float> weights, std::span<float> gradient, std::span<float> parameterGradient) const
{
    if (m_rule == StepRule::Estimated)
        return;
    const auto columns = m_quantizer.columns(), perRow = m_quantizer.unitsPerRow();
    for (std::size_t row = 0; row < m_rows; ++row)
        propagateRow(row, weights.data() + (row * columns), gradient.data() + (row * columns),
            parameterGradient.subspan(row * perRow, perRow),
            m_rule == StepRule::Affine ? parameterGradient.subspan(units() + (row * perRow), perRow)
                                       : std::span<float>());
}

}  // namespace quantloupe
