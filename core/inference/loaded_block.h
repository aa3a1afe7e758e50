// SPDX-License-Identifier: GPL-3.0-or-later
// The float32 weights of a block's parts. For use inside this room.
#pragma once

#include "core/inference/block.h"
#include "core/inference/gated.h"

#include <utility>
#include <vector>

namespace quantloupe {

/// Moves what was loaded into its place, or its error into `state`. Whether it was loaded.
template<class Loaded>
bool take(Result<Loaded> loaded, Loaded& into, Result<void>& state)
{
    if (loaded)
        into = std::move(*loaded);
    else
        state = tl::unexpected(loaded.error());
    return state.has_value();
}

struct LoadedAttention {
    LoadedNorm norm {}, queryNorm {}, keyNorm {}, outputNorm {};
    LoadedLayers queryKeyValue {}, output {};
};
Result<LoadedAttention> loadAttention(const BlockRun& run, const AttentionPart& part);

/// A whole feed-forward part: of a mixture all experts at once.
struct LoadedFeedForward {
    LoadedNorm norm {}, outputNorm {};
    LoadedGated dense {};
    LoadedLayers sharedGate {}, router {};
    std::vector<LoadedGated> experts {};
};
Result<LoadedFeedForward> loadFeedForward(const BlockRun& run, const FeedForwardPart& part);

}  // namespace quantloupe
