// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/hadamard_matrix.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace quantloupe {
namespace {

using Signs = std::vector<std::int8_t>;

// A denser factor costs `order` additions per weight and no longer spreads outliers any better.
constexpr std::size_t largestOrder = 1024;

bool isPrime(std::size_t number)
{
    if (number < 2)
        return false;
    for (std::size_t divisor = 2; divisor * divisor <= number; ++divisor)
        if (number % divisor == 0)
            return false;
    return true;
}

std::int8_t negated(std::int8_t sign)
{
    return static_cast<std::int8_t>(-sign);
}

// χ(a) modulo an odd prime: 0 for 0, 1 for squares, −1 for the rest.
Signs quadraticCharacters(std::size_t prime)
{
    Signs characters(prime, -1);
    characters[0] = 0;
    for (std::size_t root = 1; root < prime; ++root)
        characters[root * root % prime] = 1;
    return characters;
}

// Jacobsthal's matrix χ(column − row) with a border of ones to the right and of `corner` below: order prime + 1.
Signs borderedJacobsthal(std::size_t prime, std::int8_t below)
{
    const Signs characters = quadraticCharacters(prime);
    const std::size_t order = prime + 1;
    Signs matrix(order * order, 0);
    for (std::size_t i = 1; i < order; ++i) {
        matrix[i] = 1;
        matrix[i * order] = below;
        for (std::size_t j = 1; j < order; ++j)
            matrix[i * order + j] = characters[(j + prime - i) % prime];
    }
    return matrix;
}

// prime ≡ 3 modulo 4: the bordered matrix is skew, and with the identity a Hadamard matrix.
Signs paleyFirst(std::size_t prime)
{
    Signs matrix = borderedJacobsthal(prime, -1);
    for (std::size_t i = 0; i <= prime; ++i)
        matrix[i * (prime + 1) + i] = 1;
    return matrix;
}

// prime ≡ 1 modulo 4: the bordered matrix C is symmetric; C ⊗ [+ +; + −] + I ⊗ [+ −; − −].
Signs paleySecond(std::size_t prime)
{
    const Signs conference = borderedJacobsthal(prime, 1);
    const std::size_t half = prime + 1;
    Signs matrix(4 * half * half);
    for (std::size_t i = 0; i < half; ++i)
        for (std::size_t j = 0; j < half; ++j) {
            const std::int8_t sign = conference[i * half + j];
            std::int8_t* corner = &matrix[2 * i * 2 * half + 2 * j];
            const bool diagonal = i == j;
            corner[0] = diagonal ? std::int8_t {1} : sign;
            corner[1] = diagonal ? std::int8_t {-1} : sign;
            corner[2 * half] = diagonal ? std::int8_t {-1} : sign;
            corner[2 * half + 1] = diagonal ? std::int8_t {-1} : negated(sign);
        }
    return matrix;
}

// First rows of four circulant matrices A, B, C, D with AAᵀ + BBᵀ + CCᵀ + DDᵀ = 4m·I.
using FourRows = std::array<std::string_view, 4>;

// 172 is Williamson's as QuaRot has it; the others are what an exhaustive search among rows that a multiplier leaves
// unchanged (−1; for 39 it is 16) finds first.
constexpr FourRows rowsOf13 {"++-+-++++-+-+", "++--+-++-+--+", "+---++++++---", "+++-++--++-++"};
constexpr FourRows rowsOf25 {
    "++-+---++-++++++-++---+-+", "+---+----++-++-++----+---", "+--+++---++++++++---+++--", "+-+++-+--+-+--+-+--+-+++-"};
constexpr FourRows rowsOf39 {"+------++--++-+--+-+++-++-+-++++-++++++", "+-----+++--++--+-+++++-++-+-+-++-++-+++",
    "+-----++-----+++-+++-+-++-+-++-+-+++-++", "++----+++--++-+++-+-+++-+-+--++--+++++-"};
constexpr FourRows rowsOf43 {"+---++--++++-+-+++-++--++-+++-+-++++--++---",
    "--+------++++-+-++--+--+--++-+-++++------+-", "---+-+--++-+-+----+-++++-+----+-+-++--+-+--",
    "--+++----+-++-++--++++++++--++-++-+----+++-"};

bool isSymmetric(std::string_view row)
{
    for (std::size_t i = 1; i < row.size(); ++i)
        if (row[i] != row[row.size() - i])
            return false;
    return true;
}

// Williamson's array where all four are symmetric, that of Goethals and Seidel otherwise.
Signs fromFourCirculants(const FourRows& rows)
{
    const std::size_t length = rows[0].size();
    const bool symmetric = std::all_of(rows.begin(), rows.end(), isSymmetric);
    // Which matrix stands where, and with what sign; in the second array those off the diagonal are mirrored left to
    // right, and from its second row on transposed before.
    constexpr std::array<std::array<int, 4>, 4> places {{{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}}};
    constexpr std::array<std::array<int, 4>, 4> williamson {
        {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}}};
    constexpr std::array<std::array<int, 4>, 4> mirrored {
        {{1, 1, 1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}, {-1, 1, -1, 1}}};
    const std::size_t order = 4 * length;
    Signs matrix(order * order);
    for (std::size_t i = 0; i < order; ++i)
        for (std::size_t j = 0; j < order; ++j) {
            const std::size_t top = i / length;
            const std::size_t left = j / length;
            std::size_t row = i % length;
            std::size_t column = j % length;
            if (!symmetric && top != left) {
                column = length - 1 - column;
                if (top != 0 && left != 0)
                    std::swap(row, column);
            }
            const bool plus =
                rows[static_cast<std::size_t>(places[top][left])][(column + length - row) % length] == '+';
            const int sign = symmetric ? williamson[top][left] : mirrored[top][left];
            matrix[i * order + j] = static_cast<std::int8_t>(plus ? sign : -sign);
        }
    return matrix;
}

}  // namespace

std::vector<std::int8_t> hadamardMatrix(std::size_t order)
{
    if (order % 8 != 4 || order == 4 || order > largestOrder)
        return {};
    switch (order) {
    case 52: return fromFourCirculants(rowsOf13);
    case 100: return fromFourCirculants(rowsOf25);
    case 156: return fromFourCirculants(rowsOf39);
    case 172: return fromFourCirculants(rowsOf43);
    default: break;
    }
    if (isPrime(order - 1))
        return paleyFirst(order - 1);
    if (isPrime(order / 2 - 1))
        return paleySecond(order / 2 - 1);
    return {};
}

}  // namespace quantloupe
