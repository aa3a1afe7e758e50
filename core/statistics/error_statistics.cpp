// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/error_statistics.h"

#include "core/base/not_a_number.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

}  // namespace

double ErrorStatistics::mse() const
{
    return count == 0 ? notANumber : errorEnergy / static_cast<double>(count);
}

double ErrorStatistics::sqnrDb() const
{
    if (count == 0 || signalEnergy == 0.0)
        return notANumber;
    if (errorEnergy == 0.0)
        return std::numeric_limits<double>::infinity();
    return 10.0 * std::log10(signalEnergy / errorEnergy);
}

double ErrorStatistics::relativeError() const
{
    return signalEnergy == 0.0 ? notANumber : errorEnergy / signalEnergy;
}

double ErrorStatistics::cosine() const
{
    const double norms = std::sqrt(signalEnergy) * std::sqrt(quantizedEnergy);
    // Rounding may carry the quotient a few ulp past the ends.
    return norms == 0.0 ? notANumber : std::clamp(dotProduct / norms, -1.0, 1.0);
}

double ErrorStatistics::clippedRatio() const
{
    return count == 0 ? notANumber : static_cast<double>(clipped) / static_cast<double>(count);
}

double ErrorStatistics::meanError() const
{
    return count == 0 ? notANumber : errorSum / static_cast<double>(count);
}

ErrorStatistics& ErrorStatistics::operator+=(const ErrorStatistics& other)
{
    count += other.count;
    nonFinite += other.nonFinite;
    clipped += other.clipped;
    signalEnergy += other.signalEnergy;
    quantizedEnergy += other.quantizedEnergy;
    errorEnergy += other.errorEnergy;
    dotProduct += other.dotProduct;
    errorSum += other.errorSum;
    maxAbsError = std::max(maxAbsError, other.maxAbsError);
    return *this;
}

}  // namespace quantloupe
