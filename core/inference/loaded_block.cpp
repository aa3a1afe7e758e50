// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/loaded_block.h"

#include <optional>
#include <span>

namespace quantloupe {
namespace {

/// Loads the parts of a block one after the other, until one cannot be.
class PartLoader
{
public:
    explicit PartLoader(const BlockRun& run)
        : m_run(run)
    {
    }

    PartLoader& norm(const NormLayer& norm, LoadedNorm& into, const NormDivisors& divisors = {})
    {
        if (m_state)
            take(loadNorm(*m_run.decoder.model, norm, m_run.stop, divisors), into, m_state);
        return *this;
    }
    PartLoader& norm(const std::optional<NormLayer>& optional, LoadedNorm& into)
    {
        return optional ? norm(*optional, into) : *this;
    }
    PartLoader& layers(std::span<const LinearLayer> layers, LoadedLayers& into)
    {
        if (m_state)
            take(loadLayers(*m_run.decoder.model, layers, m_run.replacers, m_run.stop), into, m_state);
        return *this;
    }
    PartLoader& layer(const std::optional<LinearLayer>& optional, LoadedLayers& into)
    {
        return optional ? layers(std::span(&*optional, 1), into) : *this;
    }
    PartLoader& gated(const GatedLayers& gated, LoadedGated& into)
    {
        if (m_state)
            take(loadGated(m_run, gated), into, m_state);
        return *this;
    }
    const Result<void>& state() const { return m_state; }

private:
    const BlockRun& m_run;
    Result<void> m_state {};
};

}  // namespace

Result<LoadedAttention> loadAttention(const BlockRun& run, const AttentionPart& part)
{
    LoadedAttention loaded;
    PartLoader loader(run);
    loader.norm(part.norm, loaded.norm, run.divisors)
        .layers(part.queryKeyValue, loaded.queryKeyValue)
        .layers(std::span(&part.output, 1), loaded.output)
        .norm(part.queryNorm, loaded.queryNorm)
        .norm(part.keyNorm, loaded.keyNorm)
        .norm(part.outputNorm, loaded.outputNorm);
    if (!loader.state())
        return tl::unexpected(loader.state().error());
    return loaded;
}

Result<LoadedFeedForward> loadFeedForward(const BlockRun& run, const FeedForwardPart& part)
{
    LoadedFeedForward loaded;
    PartLoader loader(run);
    loader.norm(part.norm, loaded.norm, run.divisors)
        .norm(part.outputNorm, loaded.outputNorm)
        .layer(part.sharedGate, loaded.sharedGate)
        .layer(part.router, loaded.router);
    if (part.dense)
        loader.gated(*part.dense, loaded.dense);
    loaded.experts.resize(part.experts.size());
    for (std::size_t i = 0; i < part.experts.size(); ++i)
        loader.gated(part.experts[i], loaded.experts[i]);
    if (!loader.state())
        return tl::unexpected(loader.state().error());
    return loaded;
}

}  // namespace quantloupe
