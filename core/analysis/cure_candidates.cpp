// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/cure_candidates.h"

#include "core/algorithms/combinations.h"
#include "core/analysis/analyze.h"
#include "core/schemes/format_traits.h"

#include <algorithm>
#include <initializer_list>

namespace quantloupe {

namespace {

struct Neighbours {
    Format format;
    std::initializer_list<Format> wider;  ///< the next in the family
    std::initializer_list<Format> other;  ///< about as large
};

/// How a format may change and stay readable by the same tool, or by one like it.
std::span<const Neighbours> neighbours()
{
    using enum Format;
    static const Neighbours table[] = {
        {Int2, {Int3}, {}},
        {Int3, {Int4}, {Pot3}},
        {Int4, {Int5}, {Nf4, Fp4E2M1}},
        {Int5, {Int6}, {}},
        {Int6, {Int7}, {Fp6E2M3}},
        {Int7, {Int8}, {}},
        {Int8, {Int16}, {Fp8E4M3}},
        {Ternary, {Int2}, {}},
        {Fp8E4M3, {Fp16}, {Int8, Fp8E5M2}},
        {Fp8E5M2, {Fp16}, {Int8, Fp8E4M3}},
        {Fp6E2M3, {Fp8E4M3}, {Int6, Fp6E3M2}},
        {Fp6E3M2, {Fp8E4M3}, {Int6, Fp6E2M3}},
        {Fp4E2M1, {Fp6E2M3}, {Nf4, Int4}},
        {Nf4, {Int5}, {Int4, Fp4E2M1}},
        {Fp4Bnb, {Int5}, {Nf4, Int4}},
        {Bf16, {}, {Fp16}},
        {Lut2, {Lut3}, {}},
        {Lut3, {Lut4}, {}},
        {Pot3, {Pot4}, {Int3}},
        {Pot4, {Pot5}, {Int4, Nf4}},
        {Pot5, {}, {Int5}},
        {Mxfp4, {Mxfp6E2M3}, {Nvfp4}},
        {Nvfp4, {Mxfp6E2M3}, {Mxfp4}},
        {Mxfp6E2M3, {Mxfp8E4M3}, {Mxfp6E3M2}},
        {Mxfp6E3M2, {Mxfp8E4M3}, {Mxfp6E2M3}},
        {Mxfp8E4M3, {}, {Mxint8, Mxfp8E5M2}},
        {Mxfp8E5M2, {}, {Mxint8, Mxfp8E4M3}},
        {Q4_0, {Q4_1, Q5_0}, {Q4_K, Iq4Nl}},
        {Q4_1, {Q5_1}, {Q4_K}},
        {Q5_0, {Q5_1, Q8_0}, {Q5_K}},
        {Q5_1, {Q8_0}, {Q5_K}},
        {Q2_K, {Q3_K}, {}},
        {Q3_K, {Q4_K}, {Iq4Xs}},
        {Q4_K, {Q5_K}, {}},
        {Q5_K, {Q6_K}, {}},
        {Q6_K, {Q8_0}, {}},
        {Iq4Nl, {Q5_0}, {Q4_K, Iq4Xs}},
        {Iq4Xs, {Q5_K}, {Q4_K}},
    };
    return table;
}

/// Gathers what is built, fits the tensor and is not there yet.
class CandidateList
{
public:
    CandidateList(const Scheme& scheme, const MatrixShape& shape, Calibration calibration)
        : m_scheme(scheme)
        , m_shape(shape)
        , m_calibration(calibration)
    {
    }

    void add(CureKind kind, const Scheme& candidate)
    {
        const auto& traits = traitsOf(candidate.format);
        // llama.cpp stores no row that ends within one of its blocks; neither do the other block formats' readers.
        const bool fits = traits.family != FormatFamily::Block || m_shape.columns % traits.blockElements == 0;
        const bool known = candidate == m_scheme
            || std::any_of(m_candidates.begin(), m_candidates.end(),
                [&](const CureCandidate& other) { return other.scheme == candidate; });
        if (fits && !known && requireBuilt(candidate, m_calibration))
            m_candidates.push_back({kind, candidate});
    }

    std::vector<CureCandidate> take() { return std::move(m_candidates); }

private:
    const Scheme& m_scheme;
    const MatrixShape& m_shape;
    Calibration m_calibration;
    std::vector<CureCandidate> m_candidates {};
};

void addGranularities(const Scheme& scheme, const MatrixShape& shape, CandidateList& list)
{
    using Kind = Granularity::Kind;
    constexpr std::uint32_t smallest = 16;
    const auto addGroup = [&](std::uint32_t columns) {
        if (columns < smallest || columns >= shape.columns)
            return;
        auto candidate = scheme;
        candidate.granularity = {.kind = Kind::Group, .rows = 0, .columns = columns};
        list.add(CureKind::SmallerGroup, candidate);
    };
    const auto& granularity = scheme.granularity;
    if (granularity.kind == Kind::Tensor) {
        auto candidate = scheme;
        candidate.granularity = {.kind = Kind::Channel};
        list.add(CureKind::SmallerGroup, candidate);
        addGroup(128);
    } else if (granularity.kind == Kind::Channel) {
        addGroup(128);
        addGroup(64);
    } else if (granularity.kind == Kind::Group) {
        // A group that is wider than a row ends with it.
        const auto columns = static_cast<std::uint32_t>(std::min<std::uint64_t>(granularity.columns, shape.columns));
        addGroup(columns / 2);
        addGroup(columns / 4);
    } else if (granularity.kind == Kind::Block) {
        auto candidate = scheme;
        candidate.granularity.rows = std::max(1U, granularity.rows / 2);
        candidate.granularity.columns = std::max(smallest, granularity.columns / 2);
        list.add(CureKind::SmallerGroup, candidate);
    }
}

/// The scheme with another format, keeping every part that the format takes.
Scheme withFormat(const Scheme& scheme, Format format)
{
    const auto family = traitsOf(format).family;
    auto candidate = Scheme::of(format);
    if (takesGranularity(family) && takesGranularity(traitsOf(scheme.format).family))
        candidate.granularity = scheme.granularity;
    if (takesSymmetry(family))
        candidate.symmetry = scheme.symmetry;
    if (takesRange(family))
        candidate.range = scheme.range;
    if (takesScale(family))
        candidate.scales = scheme.scales;
    if (family != FormatFamily::Plain)
        candidate.algorithms = scheme.algorithms;
    return candidate;
}

void addFormats(const Scheme& scheme, CandidateList& list)
{
    const auto table = neighbours();
    const auto row = std::find_if(
        table.begin(), table.end(), [&](const Neighbours& entry) { return entry.format == scheme.format; });
    if (row == table.end())
        return;
    for (const auto format : row->wider)
        list.add(CureKind::MoreBits, withFormat(scheme, format));
    for (const auto format : row->other)
        list.add(CureKind::OtherNumbers, withFormat(scheme, format));
}

void addSymmetries(const Scheme& scheme, CandidateList& list)
{
    if (!takesSymmetry(traitsOf(scheme.format).family))
        return;
    for (const auto symmetry : {Symmetry::SymmetricFull, Symmetry::Asymmetric, Symmetry::AsymmetricFloat}) {
        auto candidate = scheme;
        candidate.symmetry = symmetry;
        list.add(CureKind::OtherSymmetry, candidate);
    }
}

void addAlgorithms(const Scheme& scheme, CandidateList& list)
{
    if (traitsOf(scheme.format).family == FormatFamily::Plain)
        return;
    const auto with = [&](Algorithm algorithm) {
        auto candidate = scheme;
        candidate.algorithms.push_back(algorithm);
        return candidate;
    };
    if (!uses(scheme, Algorithm::Hadamard))
        list.add(CureKind::Rotation, with(Algorithm::Hadamard));
    if (!uses(scheme, Algorithm::Hqq) && takesSymmetry(traitsOf(scheme.format).family)) {
        auto searched = with(Algorithm::Hqq);
        searched.symmetry = Symmetry::AsymmetricFloat;
        searched.range = {};
        list.add(CureKind::Search, searched);
    }
    if (!uses(scheme, Algorithm::BiasCorrection))
        list.add(CureKind::ChannelCorrection, with(Algorithm::BiasCorrection));
}

/// What goes by the layer's inputs, in the place of whatever of the kind there is.
void addInputAware(const Scheme& scheme, CandidateList& list)
{
    for (const auto algorithm : {Algorithm::Gptq, Algorithm::Cd, Algorithm::Awq, Algorithm::Smooth}) {
        auto candidate = withoutInputs(scheme);
        candidate.algorithms.push_back(algorithm);
        if (algorithm == Algorithm::Cd || algorithm == Algorithm::Awq)
            candidate.range = {};  // they find ranges themselves
        list.add(CureKind::InputAware, candidate);
    }
}

}  // namespace

std::vector<CureCandidate> cureCandidates(const Scheme& scheme, const MatrixShape& shape, Calibration calibration)
{
    CandidateList list(scheme, shape, calibration);
    addGranularities(scheme, shape, list);
    if (takesRange(traitsOf(scheme.format).family) && scheme.range.kind != RangeEstimator::Kind::Mse) {
        auto candidate = scheme;
        candidate.range = {.kind = RangeEstimator::Kind::Mse};
        list.add(CureKind::OtherRange, candidate);
    }
    addSymmetries(scheme, list);
    addFormats(scheme, list);
    addAlgorithms(scheme, list);
    if (calibration == Calibration::Given)
        addInputAware(scheme, list);
    return list.take();
}

}  // namespace quantloupe
