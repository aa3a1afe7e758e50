// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/schemes/format_traits.h"
#include "core/schemes/scheme.h"

namespace quantloupe {

Result<LayerPlan> LayerPlan::parse(std::string_view text)
{
    const std::size_t slash = text.find('/');
    const auto weights = Scheme::parse(text.substr(0, slash));
    if (!weights)
        return tl::unexpected(weights.error());
    if (weights->granularity.kind == Granularity::Kind::Token)
        return failure(ErrorCode::InvalidArgument, std::string(text),
            "weights have no tokens: token is a granularity of activations, after the '/'");
    LayerPlan plan {*weights, std::nullopt};
    if (slash == std::string_view::npos)
        return plan;
    auto activations = Scheme::parse(text.substr(slash + 1));
    if (!activations)
        return tl::unexpected(activations.error());
    plan.activations = std::move(*activations);
    return plan;
}

std::string LayerPlan::toString() const
{
    return activations ? weights.toString() + "/" + activations->toString() : weights.toString();
}

}  // namespace quantloupe
