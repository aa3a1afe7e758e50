// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/signal_energy.h"

#include "core/base/not_a_number.h"
#include "core/recipes/plan.h"

namespace quantloupe {

double signalEnergy(const StudySnapshot& study, const std::string& tensor)
{
    if (const auto& measured = study.of(tensor); !measured.empty())
        return measured.begin()->second->error.signalEnergy;
    if (const auto* weights = study.findWeights(tensor)) {
        const auto& moments = weights->moments;  // about a pivot p: Σw² = Σ(w−p)² + 2p·Σ(w−p) + n·p²
        return moments.sum2 + 2.0 * moments.pivot * moments.sum1
            + static_cast<double>(moments.count) * moments.pivot * moments.pivot;
    }
    return notANumber;
}

double signalEnergy(const StudySnapshot& study)
{
    const auto tied = tiedHead(study.model);
    double sum = notANumber;
    for (std::size_t i = 0; i < study.model.tensors.size(); ++i) {
        const auto& tensor = study.model.tensors[i];
        if (!tensor.quantizable || tied == i)
            continue;
        if (const double energy = signalEnergy(study, tensor.name); energy == energy)
            sum = sum == sum ? sum + energy : energy;
    }
    return sum;
}

std::uint64_t unquantizedBytes(const ModelCatalog& model)
{
    const auto tied = tiedHead(model);
    return model.bytes() - (tied ? model.tensors[*tied].bytes : 0);
}

}  // namespace quantloupe
