// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/checkpoints/require_as_planned.h"

#include <string>
#include <utility>

namespace quantloupe {

CheckpointRequest trainedCheckpoint(ModelPointer trained, const Recipe& recipe)
{
    auto catalog = catalogOf(*trained);
    auto plan = resolve(recipe, catalog);
    return {.model = std::move(trained), .catalog = std::move(catalog), .recipe = recipe, .plan = std::move(plan)};
}

Result<void> requireAsPlanned(
    const CheckpointTarget& target, const CheckpointDraft& draft, const CheckpointRequest& request)
{
    for (const auto& planned : request.plan.tensors) {
        if (!planned.scheme)
            continue;
        bool written = false;
        std::string otherwise = "as stored";
        for (const auto& tensor : draft.tensors) {
            if (tensor.source != planned.tensor)
                continue;
            written =
                tensor.scheme && (*tensor.scheme == *planned.scheme || *tensor.scheme == Scheme::of(Format::Fp32));
            if (!written) {
                otherwise = tensor.scheme ? "as " + tensor.scheme->toString() : otherwise;
                break;
            }
        }
        if (!written)
            return failure(ErrorCode::Unsupported, request.model->tensors[planned.tensor].name,
                "would be trained as " + planned.scheme->toString() + ", and " + std::string(target.name)
                    + " would write it " + otherwise + ": train a scheme that it holds, or write another target");
    }
    return {};
}

}  // namespace quantloupe
