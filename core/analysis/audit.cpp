// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/audit.h"

#include "core/analysis/best_scheme.h"
#include "core/analysis/channel_factors.h"
#include "core/analysis/measure.h"
#include "core/base/compute_arena.h"
#include "core/base/not_a_number.h"
#include "core/model/correspondence.h"
#include "core/model/rotary_order.h"
#include "core/tensor/selected_rows.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

namespace quantloupe {

namespace {

/// ‖W−Q‖²/‖W‖² that rounding to bfloat16 stays below: (2⁻⁹)², and as much again for what is subnormal.
constexpr double mostRoundingError = 0x1p-17;
/// Two-bit weights without any calibration are above it, ternary ones too; those of another model are near 0.
constexpr double leastCosine = 0.7;

/// Of a matrix in fewer bits: from here on it is worth looking whether its channels were multiplied by something.
constexpr double suspiciousError = 0.05;

/// Rows [first, first + count) of a matrix; the view itself where that is all of it.
TensorView rowRange(const TensorView& view, std::uint64_t first, std::uint64_t count)
{
    if (first == 0 && count == matrixShape(view).rows)
        return view;
    std::vector<std::uint64_t> rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), first);
    return selectRows(view, std::move(rows));
}

/// The part of a tensor's stored bytes that so many of its rows take.
std::uint64_t bytesOfRows(const ModelTensor& tensor, std::uint64_t rows)
{
    const auto all = matrixShape(tensor.view).rows;
    if (rows == all)
        return tensor.bytes();
    return static_cast<std::uint64_t>(
        std::llround(static_cast<double>(tensor.bytes()) * static_cast<double>(rows) / static_cast<double>(all)));
}

/// The rows of `view` in the order that fits the original best: as they lie, unless q and k are in the other rotary
/// order, which shows in the figures and in nothing else.
Result<TensorView> inBestOrder(const ModelTensor& original, const TensorView& view, std::uint64_t headDimension,
    bool& reordered, std::stop_token stop)
{
    const auto shape = matrixShape(view);
    const auto role = original.parts.role;
    reordered = false;
    if ((role != TensorRole::Query && role != TensorRole::Key) || headDimension < 2 || headDimension % 2 != 0
        || shape.rows == 0 || shape.rows % headDimension != 0)
        return view;
    // The first head decides: all are in the same order.
    auto head = original;
    head.view = rowRange(original.view, 0, headDimension);
    Progress ignored;
    const auto errorOf = [&](const TensorView& rows) {
        return compareRows(head, rows, 0.0F, stop, ProgressShare(ignored, 0));
    };
    const auto plain = errorOf(rowRange(view, 0, headDimension));
    if (!plain)
        return tl::unexpected(plain.error());
    double least = plain->relativeError();
    std::optional<RotaryOrder> best;
    for (const auto order : {RotaryOrder::Halves, RotaryOrder::Pairs}) {
        const auto error = errorOf(selectRows(view, rowsInOtherRotaryOrder(headDimension, headDimension, order)));
        if (!error)
            return tl::unexpected(error.error());
        if (error->relativeError() < least) {
            least = error->relativeError();
            best = order;
        }
    }
    if (!best)
        return view;
    reordered = true;
    return selectRows(view, rowsInOtherRotaryOrder(shape.rows, headDimension, *best));
}

/// Weights of the norms of Gemma are stored less 1 by Hugging Face, and whole in GGUF.
float addedTo(const ModelTensor& tensor, const Model& original, const Model& quantized)
{
    if (original.naming == quantized.naming || tensor.parts.role != TensorRole::Norm
        || !original.config.architecture.starts_with("gemma") || !tensor.name.ends_with("norm.weight"))
        return 0.0F;
    return original.naming == NamingWorld::HuggingFace ? 1.0F : -1.0F;
}

/// Not quantized by whoever made the checkpoint: floats of 16 bits or more, or stored as in the original.
bool isKept(const ModelTensor& original, const ModelTensor& stored)
{
    const auto dtype = stored.view.dtype;
    const bool wide = dtype == DType::F64 || dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
    return (wide && stored.packing().empty()) || stored.storedAs() == original.storedAs();
}

void judge(AuditedTensor& tensor, bool kept)
{
    const auto& error = tensor.error;
    tensor.verdict = kept ? AuditVerdict::Kept : AuditVerdict::Quantized;
    if (error.errorEnergy == 0.0 && error.nonFinite == 0)
        return;
    if (!std::isfinite(error.errorEnergy)) {
        tensor.verdict = AuditVerdict::Different;
        tensor.note = "holds values that are not finite where the original's are";
    } else if (kept && !(error.relativeError() <= mostRoundingError)) {
        tensor.verdict = AuditVerdict::Different;
        tensor.note = "is not quantized, but differs by more than rounding explains";
    } else if (!kept && !(error.cosine() >= leastCosine)) {
        tensor.verdict = AuditVerdict::Different;
        tensor.note = "is hardly correlated with the original: another model, another order of rows or columns, or "
                      "rescaled channels";
    }
}

RescaledChannels rangesOf(const ChannelFactors& factors)
{
    const auto range = [](const std::vector<float>& list) {
        const auto [least, most] = std::minmax_element(list.begin(), list.end());
        return FactorRange {*least, *most};
    };
    return {range(factors.rows), range(factors.columns)};
}

/// What the norm in front of a matrix of a block is called in GGUF; empty where there is none.
std::string normBefore(const NameParts& parts)
{
    using enum TensorRole;
    if (!parts.block || parts.expert || parts.expertStack || parts.sharedExpert)
        return {};
    const auto block = "blk." + std::to_string(*parts.block);
    if (parts.role == Query || parts.role == Key || parts.role == Value || parts.role == QueryKeyValue)
        return block + ".attn_norm.weight";
    if (parts.role == Gate || parts.role == Up || parts.role == GateUp)
        return block + ".ffn_norm.weight";
    return {};
}

class Auditor
{
public:
    Auditor(const Model& original, const Model& quantized, const AuditOptions& options, std::stop_token stop,
        Progress& progress)
        : m_original(original)
        , m_quantized(quantized)
        , m_options(options)
        , m_stop(std::move(stop))
        , m_progress(progress)
    {
        const auto own = original.config.headDimension, other = quantized.config.headDimension;
        m_headDimension = own ? *own : other.value_or(0);
    }

    Result<AuditedTensor> audit(const Correspondence& rows)
    {
        const auto& source = m_original.tensors[rows.original];
        const auto& stored = m_quantized.tensors[rows.other];
        auto result = describe(source, stored, rows);
        ProgressShare share(m_progress, result.originalBytes);
        for (const auto* tensor : {&source, &stored})
            if (!tensor->view.decodable()) {
                result.verdict = AuditVerdict::Unreadable;
                result.note = "is stored as " + std::string(nameOf(tensor->view.dtype)) + ", which cannot be decoded"
                    + (tensor == &source ? ", in the original" : "");
                share.finish();
                return result;
            }
        const auto held = holdReadable(source, m_stop), otherHeld = holdReadable(stored, m_stop);
        for (const auto* one : {&held, &otherHeld})
            if (!*one)
                return tl::unexpected(one->error());
        auto original = source;
        original.view = rowRange(source.view, rows.firstRow, rows.rows);
        auto view = inBestOrder(original, rowRange(stored.view, rows.otherFirstRow, rows.rows), m_headDimension,
            result.rotaryRowsReordered, m_stop);
        if (!view)
            return tl::unexpected(view.error());
        const auto [forErrors, forSchemes] = share.split(m_options.compareWithSchemes ? 0.3 : 1.0);
        const auto [forPlain, forFactors] = forErrors.split(0.25);
        auto error = compareRows(original, *view, result.added, m_stop, forPlain);
        if (!error)
            return tl::unexpected(error.error());
        result.error = *error;
        const bool kept = isKept(source, stored);
        if (auto undone = undoFactors(original, *view, kept, result, forFactors); !undone)
            return tl::unexpected(undone.error());
        judge(result, kept);
        if (!m_options.compareWithSchemes || kept || !result.quantizable || result.verdict != AuditVerdict::Quantized
            || !std::isfinite(result.error.sqnrDb())) {
            forSchemes.finish();
            return result;
        }
        auto best = findBestScheme(original, *view, result.bitsPerWeight, m_stop, forSchemes);
        if (!best)
            return tl::unexpected(best.error());
        result.best = std::move(*best);
        return result;
    }

    /// A norm that differs by factors which the matrices behind it take up is what it was. @pre those were audited
    void judgeNorm(AuditedTensor& norm, const Correspondence& pair) const
    {
        const auto& source = m_original.tensors[pair.original];
        const auto behind =
            m_behindNorms.find(ggufName(source.name, m_original.config.architecture).value_or(source.name));
        if (norm.verdict != AuditVerdict::Different || source.view.shape.size() != 1 || behind == m_behindNorms.end()
            || behind->second.size() != norm.shape.columns)
            return;
        const auto held = holdReadable(source, m_stop),
                   otherHeld = holdReadable(m_quantized.tensors[pair.other], m_stop);
        if (!held || !otherHeld)
            return;
        std::vector<float> weights(behind->second.size()), stored(behind->second.size());
        decodeRows(source.view, 0, 1, weights);
        decodeRows(m_quantized.tensors[pair.other].view, 0, 1, stored);
        ChannelFactors factors {{1.0F}, {}};
        double deviation = 0.0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const float weight = weights[i] + norm.added;
            factors.columns.push_back(weight == 0.0F ? 1.0F : stored[i] / weight);
            const double product = static_cast<double>(factors.columns[i]) * static_cast<double>(behind->second[i]);
            deviation += (product - 1.0) * (product - 1.0);
        }
        constexpr double mostDeviation = 0.1;
        if (!(std::sqrt(deviation / static_cast<double>(weights.size())) <= mostDeviation))
            return;
        norm.verdict = AuditVerdict::Kept;
        norm.note.clear();
        norm.rescaled = rangesOf(factors);
    }

private:
    /// Where the channels were multiplied by something, takes that out of `view` and of the error.
    Result<void> undoFactors(
        const ModelTensor& original, TensorView& view, bool kept, AuditedTensor& result, const ProgressShare& progress)
    {
        const double before = result.error.relativeError();
        if (!result.quantizable || !(before > (kept ? mostRoundingError : suspiciousError))) {
            progress.finish();
            return {};
        }
        const auto [forFit, forError] = progress.split(0.85);
        auto factors = fitChannelFactors(original, view, m_stop, forFit);
        if (!factors)
            return tl::unexpected(factors.error());
        auto undone = withoutFactors(view, *factors);
        const auto error = compareRows(original, undone, result.added, m_stop, forError);
        if (!error)
            return tl::unexpected(error.error());
        if (!(error->relativeError() < 0.5 * before))
            return {};
        view = std::move(undone);
        result.error = *error;
        result.rescaled = rangesOf(*factors);
        if (const auto norm = normBefore(original.parts); !norm.empty())
            m_behindNorms.emplace(norm, std::move(factors->columns));
        return {};
    }

    AuditedTensor describe(const ModelTensor& source, const ModelTensor& stored, const Correspondence& rows) const
    {
        const auto whole = matrixShape(stored.view);
        AuditedTensor result {.original = source.name,
            .quantized = stored.name,
            .parts = source.parts,
            .shape = {rows.rows, whole.columns},
            .originalType = source.view.dtype,
            .storedAs = stored.storedAs()};
        result.bytes = bytesOfRows(stored, rows.rows);
        result.originalBytes = bytesOfRows(source, rows.rows);
        result.bitsPerWeight = whole.elements() == 0
            ? notANumber
            : 8.0 * static_cast<double>(stored.bytes()) / static_cast<double>(whole.elements());
        result.quantizable = source.quantizable();
        result.added = addedTo(source, m_original, m_quantized);
        return result;
    }

    const Model& m_original;
    const Model& m_quantized;
    const AuditOptions& m_options;
    std::stop_token m_stop;
    Progress& m_progress;
    std::uint64_t m_headDimension = 0;
    std::map<std::string, std::vector<float>, std::less<>>
        m_behindNorms {};  ///< factors of columns, by the norm's name
};

}  // namespace

Result<Audit> audit(const Model& original, const Model& quantized, const AuditOptions& options, std::stop_token stop,
    Progress& progress)
{
    auto found = findCorrespondence(original, quantized);
    if (found.pairs.empty() && found.mismatched.empty())
        return failure(ErrorCode::Conflict, quantized.path.string(),
            "no tensor of it has a counterpart in " + original.path.string() + ": these are different models");
    const auto wants = [&](std::size_t tensor) {
        return !options.wants || options.wants(original.tensors[tensor].name);
    };
    std::erase_if(found.pairs, [&](const Correspondence& pair) { return !wants(pair.original); });
    Audit result;
    for (const auto& pair : found.mismatched) {
        const auto &source = original.tensors[pair.original], &stored = quantized.tensors[pair.other];
        if (wants(pair.original))
            result.mismatched.push_back({source.name, stored.name, source.view.shape, stored.view.shape});
    }
    for (const auto tensor : found.missing)
        if (wants(tensor))
            result.missing.push_back(original.tensors[tensor].name);
    for (const auto tensor : found.extra)
        if (!options.wants || options.wants(quantized.tensors[tensor].name))
            result.extra.push_back(quantized.tensors[tensor].name);

    for (const auto& pair : found.pairs)
        progress.totalBytes += bytesOfRows(original.tensors[pair.original], pair.rows);
    progress.totalItems = static_cast<std::uint32_t>(found.pairs.size());
    ComputeArena arena(options.threads);
    Auditor auditor(original, quantized, options, std::move(stop), progress);
    for (const auto& pair : found.pairs) {
        auto audited = arena.execute([&] { return auditor.audit(pair); });
        if (!audited)
            return tl::unexpected(audited.error());
        releaseBytes(original.tensors[pair.original].view);
        releaseBytes(quantized.tensors[pair.other].view);
        result.tensors.push_back(std::move(*audited));
        ++progress.doneItems;
    }
    for (std::size_t i = 0; i < found.pairs.size(); ++i)
        auditor.judgeNorm(result.tensors[i], found.pairs[i]);
    return result;
}

}  // namespace quantloupe
