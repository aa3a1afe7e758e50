// SPDX-License-Identifier: GPL-3.0-or-later
// Quantization inside a forward pass, and gradients through it. Sources: Bengio, Léonard & Courville, "Estimating or
// propagating gradients through stochastic neurons" (2013; the straight-through estimator); Esser et al., "Learned step
// size quantization" (2020); Bhalgat et al., "LSQ+" (2020; a learned offset).
#pragma once

#include "core/base/error.h"
#include "core/number_formats/quantizer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Where the grids of a trained matrix come from.
enum class StepRule : std::uint8_t {
    Estimated,  ///< "ste": found anew from the weights in every step, by the scheme's range; any scheme
    /// "lsq": a learned scale per unit, round(clamp(w/s, n − z, p − z))·s; integers, sym, symf or asym, whose whole
    /// zero point z stays as it is found
    Scale,
    Affine,  ///< "aff": a learned scale and minimum per unit, s·q + m; integers, asymf
};
std::string_view nameOf(StepRule rule);
std::optional<StepRule> stepRuleNamed(std::string_view name);

/// One weight matrix under training: what a forward pass sees of it, and gradients by its weights and by what is
/// learned of its grids. A value.
class TrainedQuantizer
{
public:
    /// Errors: Unsupported (the scheme, or a rule that does not go with it).
    static Result<TrainedQuantizer> create(const Scheme& scheme, StepRule rule, std::size_t rows, std::size_t columns);

    /// The same for another number of rows, to be initialized.
    TrainedQuantizer ofRows(std::size_t rows) const;

    /// Learned grids start from those of least squared error, each column's errors weighed by `importance` (one per
    /// column). False: stopped.
    bool initialize(std::span<const float> weights, std::span<const float> importance, const std::stop_token& stop);
    /// The same from grids that somebody has found; estimated ones then stay as these are. None: they are found anew.
    /// @pre grids of all units, as Quantizer orders them, or none
    void initialize(std::span<const UnitGrid> grids);

    /// Ŵ as a file with the grids of today would hold it: decode(encode(W)). False: stopped.
    bool quantize(std::span<const float> weights, std::span<float> result, const std::stop_token& stop);

    /// Turns ∂loss/∂Ŵ into ∂loss/∂W in place, and adds ∂loss by parameters() to `parameterGradient`. Estimated grids
    /// let the gradient through as it is; learned ones only where no weight is clipped. @pre quantize() of these
    /// weights
    void propagate(std::span<const float> weights, std::span<float> gradient, std::span<float> parameterGradient) const;

    /// What is learned: scales unit by unit, then minima; in the place of these, zero points that stay (their gradients
    /// are 0). Empty where nothing is, and before initialize().
    std::vector<float>& parameters() { return m_parameters; }
    const std::vector<float>& parameters() const { return m_parameters; }
    std::size_t parameterCount() const;
    /// Keeps scales above 0, after a step of the optimizer.
    void clampParameters();

    const Quantizer& quantizer() const { return m_quantizer; }
    /// As stored; of the last quantize(). Empty for formats without.
    const std::vector<UnitGrid>& grids() const { return m_grids; }

private:
    TrainedQuantizer(Quantizer quantizer, StepRule rule, std::size_t rows);
    std::size_t units() const { return m_quantizer.gridCount(m_rows); }
    /// Minima or zero points.
    bool hasOrigins() const { return m_rule == StepRule::Affine || keepsZeroPoints(); }
    bool keepsZeroPoints() const;
    void propagateRow(
        std::size_t row, const float* weights, float* gradient, std::span<float> scales, std::span<float> minima) const;

    Quantizer m_quantizer;
    StepRule m_rule;
    std::size_t m_rows;
    float m_lowest = 0.0F, m_highest = 0.0F;  ///< codes, of sym and symf around 0
    std::vector<float> m_parameters {};
    std::vector<UnitGrid> m_grids {}, m_givenGrids {};
};

}  // namespace quantloupe
