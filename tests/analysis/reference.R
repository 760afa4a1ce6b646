# Constants of tests/analysis/test_families.py: Rscript tests/analysis/reference.R < tests/analysis/reference.csv
# Base R only. The jackknife over families is written out here, independently of the Python code.
d <- read.csv(file("stdin"))
options(digits = 15)
show <- function(name, value) cat(sprintf("%-16s %.12f\n", name, value))

show("rho", cor(d$x, d$y, method = "spearman"))
fit <- summary(lm(y ~ x, d))
show("slope", fit$coefficients[2, 1]); show("intercept", fit$coefficients[1, 1])
show("r2", fit$r.squared); show("p_ols", fit$coefficients[2, 4])

given <- function(d) {
  r <- lapply(d[c("x", "y", "z")], rank)
  cor(resid(lm(r$x ~ r$z)), resid(lm(r$y ~ r$z)))
}
show("partial_rho", given(d))

jackknife <- function(statistic) {
  families <- unique(d$family); sizes <- as.numeric(table(d$family)); k <- length(families)
  z <- atanh(statistic(d))
  without <- sapply(families, function(f) atanh(statistic(d[d$family != f, ])))
  se <- sqrt((k - 1) / k * sum((without - mean(without))^2))
  df <- (k + sum(sizes)^2 / sum(sizes^2)) / 2 - 1
  tanh(z + c(-1, 1) * qt(.975, df) * se)
}
plain <- function(d) cor(d$x, d$y, method = "spearman")
show("rho_low", jackknife(plain)[1]); show("rho_high", jackknife(plain)[2])
show("partial_low", jackknife(given)[1]); show("partial_high", jackknife(given)[2])
without <- sapply(unique(d$family), function(f) plain(d[d$family != f, ]))
show("lofo_low", min(without)); show("lofo_high", max(without))

# all 2^k patterns of signs of the families' scores, the denominator computed again
flips <- function(x, y, extra) {
  families <- unique(d$family); k <- length(families)
  r <- function(s) {
    v <- y * s
    v <- resid(lm(v ~ extra))
    sum(x * v) / sqrt(sum(x^2) * sum(v^2))
  }
  observed <- abs(r(rep(1, nrow(d))))
  hits <- sapply(0:(2^k - 1), function(i) {
    s <- 1 - 2 * (i %/% 2^(seq_len(k) - 1)) %% 2
    abs(r(s[match(d$family, families)])) >= observed * (1 - 1e-9)
  })
  mean(hits)
}
centred <- function(v) rank(v) - mean(rank(v))
show("p", flips(centred(d$x), centred(d$y), rep(1, nrow(d))))
z <- rank(d$z)
show("partial_p", flips(resid(lm(rank(d$x) ~ z)), resid(lm(rank(d$y) ~ z)), z))

means <- function(v) tapply(rank(v), d$family, mean)
within <- function(v) rank(v) - means(v)[d$family]
show("rho_within", cor(within(d$x), within(d$y)))
w <- as.numeric(table(d$family))
show("rho_between", cov.wt(cbind(means(d$x), means(d$y)), wt = w / sum(w), cor = TRUE)$cor[1, 2])

icc <- function(v) {
  a <- anova(lm(rank(v) ~ factor(d$family))); n <- nrow(d); k <- length(w)
  size <- (n - sum(w^2) / n) / (k - 1)
  max(0, (a[1, 3] - a[2, 3]) / (a[1, 3] + (size - 1) * a[2, 3]))
}
show("n_effective", nrow(d) / (1 + (sum(w^2) / nrow(d) - 1) * icc(d$x) * icc(d$y)))
show("wilson_low", prop.test(34, 1000, correct = FALSE)$conf.int[1])
show("wilson_high", prop.test(34, 1000, correct = FALSE)$conf.int[2])
show("bh_3", p.adjust(c(.001, .008, .039, .041, .042, .06), "BH")[3])
