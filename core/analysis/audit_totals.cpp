// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/audit.h"
#include "core/base/not_a_number.h"

#include <algorithm>
#include <array>

namespace quantloupe {

std::string_view nameOf(AuditVerdict verdict)
{
    static constexpr std::array<std::string_view, 4> names {"quantized", "kept", "different", "unreadable"};
    return names[static_cast<std::size_t>(verdict)];
}

std::size_t Audit::count(AuditVerdict verdict) const
{
    return static_cast<std::size_t>(std::count_if(
        tensors.begin(), tensors.end(), [&](const AuditedTensor& tensor) { return tensor.verdict == verdict; }));
}

std::size_t Audit::leftUnquantized() const
{
    return static_cast<std::size_t>(std::count_if(tensors.begin(), tensors.end(),
        [](const AuditedTensor& tensor) { return tensor.verdict == AuditVerdict::Kept && tensor.quantizable; }));
}

ErrorStatistics Audit::weightError() const
{
    ErrorStatistics sum;
    for (const auto& tensor : tensors)
        if (tensor.quantizable && tensor.verdict != AuditVerdict::Unreadable)
            sum += tensor.error;
    return sum;
}

double Audit::bitsPerWeight() const
{
    std::uint64_t bytes = 0, weights = 0;
    for (const auto& tensor : tensors) {
        bytes += tensor.quantizable ? tensor.bytes : 0;
        weights += tensor.quantizable ? tensor.shape.elements() : 0;
    }
    return weights == 0 ? notANumber : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

bool Audit::isClean() const
{
    return mismatched.empty() && missing.empty() && extra.empty() && count(AuditVerdict::Different) == 0
        && count(AuditVerdict::Unreadable) == 0;
}

}  // namespace quantloupe
