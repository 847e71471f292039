;; The page's multiply-add kernel: what matmul.js has as bytes. kernel.test.mjs assembles it and compares.
;;
;; Addresses and steps are in bytes, counts in values, and no count is 0. An entry of a table is the byte offset
;; of a row or a column; it grows by 4 or more from one to the next, so four whose ends are 12 apart are neighbours.
(module
  (import "page" "memory" (memory 1 16384))

  ;; Copy four columns of k rows to a panel of eight: `from` is the first, the others lie d1, d2, d3 after it.
  (func $pack (param $to i32) (param $from i32) (param $d1 i32) (param $d2 i32) (param $d3 i32)
              (param $rows i32) (param $k i32)
    (local $end i32) (local $p i32)
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $k) (i32.const 2))))
    (if (i32.eq (local.get $d3) (i32.const 12))
      (then
        (loop $next
          (v128.store (local.get $to) (v128.load (i32.add (local.get $from) (i32.load (local.get $rows)))))
          (local.set $to (i32.add (local.get $to) (i32.const 32)))
          (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
          (br_if $next (i32.lt_u (local.get $rows) (local.get $end)))))
      (else
        (loop $next
          (local.set $p (i32.add (local.get $from) (i32.load (local.get $rows))))
          (v128.store (local.get $to)
            (v128.load32_lane 3 (i32.add (local.get $p) (local.get $d3))
              (v128.load32_lane 2 (i32.add (local.get $p) (local.get $d2))
                (v128.load32_lane 1 (i32.add (local.get $p) (local.get $d1))
                  (v128.load32_zero (local.get $p))))))
          (local.set $to (i32.add (local.get $to) (i32.const 32)))
          (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
          (br_if $next (i32.lt_u (local.get $rows) (local.get $end)))))))

  ;; Four rows of A times the panel, k x 8: 4 x 8 sums to `tile`.
  (func $four (param $a i32) (param $aRow i32) (param $aCol i32) (param $panel i32) (param $k i32)
              (param $bias i32) (param $tile i32)
    (local $b i32) (local $c i32) (local $d i32) (local $end i32)
    (local $p v128) (local $q v128) (local $x v128)
    (local $a0 v128) (local $a1 v128) (local $b0 v128) (local $b1 v128)
    (local $c0 v128) (local $c1 v128) (local $d0 v128) (local $d1 v128)
    (local.set $b (i32.add (local.get $a) (local.get $aRow)))
    (local.set $c (i32.add (local.get $b) (local.get $aRow)))
    (local.set $d (i32.add (local.get $c) (local.get $aRow)))
    (local.set $end (i32.add (local.get $panel) (i32.shl (local.get $k) (i32.const 5))))
    (if (local.get $bias)
      (then
        (local.set $a1 (local.tee $a0 (v128.load32_splat (local.get $bias))))
        (local.set $b1 (local.tee $b0 (v128.load32_splat offset=4 (local.get $bias))))
        (local.set $c1 (local.tee $c0 (v128.load32_splat offset=8 (local.get $bias))))
        (local.set $d1 (local.tee $d0 (v128.load32_splat offset=12 (local.get $bias))))))
    (loop $next
      (local.set $p (v128.load (local.get $panel)))
      (local.set $q (v128.load offset=16 (local.get $panel)))
      (local.set $x (v128.load32_splat (local.get $a)))
      (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $x) (local.get $p))))
      (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $x) (local.get $q))))
      (local.set $x (v128.load32_splat (local.get $b)))
      (local.set $b0 (f32x4.add (local.get $b0) (f32x4.mul (local.get $x) (local.get $p))))
      (local.set $b1 (f32x4.add (local.get $b1) (f32x4.mul (local.get $x) (local.get $q))))
      (local.set $x (v128.load32_splat (local.get $c)))
      (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $x) (local.get $p))))
      (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $x) (local.get $q))))
      (local.set $x (v128.load32_splat (local.get $d)))
      (local.set $d0 (f32x4.add (local.get $d0) (f32x4.mul (local.get $x) (local.get $p))))
      (local.set $d1 (f32x4.add (local.get $d1) (f32x4.mul (local.get $x) (local.get $q))))
      (local.set $a (i32.add (local.get $a) (local.get $aCol)))
      (local.set $b (i32.add (local.get $b) (local.get $aCol)))
      (local.set $c (i32.add (local.get $c) (local.get $aCol)))
      (local.set $d (i32.add (local.get $d) (local.get $aCol)))
      (br_if $next
        (i32.lt_u (local.tee $panel (i32.add (local.get $panel) (i32.const 32))) (local.get $end))))
    (v128.store (local.get $tile) (local.get $a0))
    (v128.store offset=16 (local.get $tile) (local.get $a1))
    (v128.store offset=32 (local.get $tile) (local.get $b0))
    (v128.store offset=48 (local.get $tile) (local.get $b1))
    (v128.store offset=64 (local.get $tile) (local.get $c0))
    (v128.store offset=80 (local.get $tile) (local.get $c1))
    (v128.store offset=96 (local.get $tile) (local.get $d0))
    (v128.store offset=112 (local.get $tile) (local.get $d1)))

  ;; One row of A times the panel: 8 sums to `tile`.
  (func $one (param $a i32) (param $aCol i32) (param $panel i32) (param $k i32) (param $bias i32) (param $tile i32)
    (local $end i32) (local $x v128) (local $a0 v128) (local $a1 v128)
    (local.set $end (i32.add (local.get $panel) (i32.shl (local.get $k) (i32.const 5))))
    (if (local.get $bias)
      (then (local.set $a1 (local.tee $a0 (v128.load32_splat (local.get $bias))))))
    (loop $next
      (local.set $x (v128.load32_splat (local.get $a)))
      (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $x) (v128.load (local.get $panel)))))
      (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $panel)))))
      (local.set $a (i32.add (local.get $a) (local.get $aCol)))
      (br_if $next
        (i32.lt_u (local.tee $panel (i32.add (local.get $panel) (i32.const 32))) (local.get $end))))
    (v128.store (local.get $tile) (local.get $a0))
    (v128.store offset=16 (local.get $tile) (local.get $a1)))

  ;; Write n of a tile's row of eight to the columns of C that `outs` names.
  (func $put (param $c i32) (param $tile i32) (param $outs i32) (param $n i32)
    (if (i32.and (i32.eq (local.get $n) (i32.const 8))
                 (i32.eq (i32.sub (i32.load offset=28 (local.get $outs)) (i32.load (local.get $outs))) (i32.const 28)))
      (then
        (local.set $c (i32.add (local.get $c) (i32.load (local.get $outs))))
        (v128.store (local.get $c) (v128.load (local.get $tile)))
        (v128.store offset=16 (local.get $c) (v128.load offset=16 (local.get $tile))))
      (else
        (loop $next
          (f32.store (i32.add (local.get $c) (i32.load (local.get $outs))) (f32.load (local.get $tile)))
          (local.set $outs (i32.add (local.get $outs) (i32.const 4)))
          (local.set $tile (i32.add (local.get $tile) (i32.const 4)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))))

  ;; C[i, outs[j]] = bias[i] + sum over l of A[i, l] * B[rows[l], cols[j]]: m x n of them, k long.
  ;; `cols` has entries up to the next multiple of eight. `work` holds a tile of 128 bytes and a panel of 32 k.
  (func (export "gemm") (param $a i32) (param $aRow i32) (param $aCol i32) (param $b i32) (param $rows i32)
                        (param $cols i32) (param $c i32) (param $cRow i32) (param $outs i32) (param $bias i32)
                        (param $m i32) (param $n i32) (param $k i32) (param $work i32)
    (local $j i32) (local $i i32) (local $width i32) (local $at i32) (local $first i32) (local $to i32)
    (local $panel i32) (local $more i32)
    (local.set $panel (i32.add (local.get $work) (i32.const 128)))
    (loop $columns
      (local.set $first (i32.load (local.get $cols)))
      (call $pack (local.get $panel) (i32.add (local.get $b) (local.get $first))
        (i32.sub (i32.load offset=4 (local.get $cols)) (local.get $first))
        (i32.sub (i32.load offset=8 (local.get $cols)) (local.get $first))
        (i32.sub (i32.load offset=12 (local.get $cols)) (local.get $first))
        (local.get $rows) (local.get $k))
      (local.set $first (i32.load offset=16 (local.get $cols)))
      (call $pack (i32.add (local.get $panel) (i32.const 16)) (i32.add (local.get $b) (local.get $first))
        (i32.sub (i32.load offset=20 (local.get $cols)) (local.get $first))
        (i32.sub (i32.load offset=24 (local.get $cols)) (local.get $first))
        (i32.sub (i32.load offset=28 (local.get $cols)) (local.get $first))
        (local.get $rows) (local.get $k))
      (local.set $width
        (select (i32.const 8) (i32.sub (local.get $n) (local.get $j))
          (i32.gt_u (i32.sub (local.get $n) (local.get $j)) (i32.const 8))))
      (local.set $i (i32.const 0))
      (loop $blocks
        (if (i32.ge_u (local.get $m) (i32.const 4))
          ;; The last four may overlap those before: they come out the same.
          (then
            (if (i32.gt_u (i32.add (local.get $i) (i32.const 4)) (local.get $m))
              (then (local.set $i (i32.sub (local.get $m) (i32.const 4)))))
            (call $four (i32.add (local.get $a) (i32.mul (local.get $i) (local.get $aRow)))
              (local.get $aRow) (local.get $aCol) (local.get $panel) (local.get $k)
              (select (i32.add (local.get $bias) (i32.shl (local.get $i) (i32.const 2))) (i32.const 0) (local.get $bias))
              (local.get $work))
            (local.set $more (i32.const 4)))
          (else
            (call $one (i32.add (local.get $a) (i32.mul (local.get $i) (local.get $aRow)))
              (local.get $aCol) (local.get $panel) (local.get $k)
              (select (i32.add (local.get $bias) (i32.shl (local.get $i) (i32.const 2))) (i32.const 0) (local.get $bias))
              (local.get $work))
            (local.set $more (i32.const 1))))
        (local.set $to (i32.add (local.get $c) (i32.mul (local.get $i) (local.get $cRow))))
        (local.set $i (i32.add (local.get $i) (local.get $more)))
        (local.set $at (local.get $work))
        (loop $lines
          (call $put (local.get $to) (local.get $at) (local.get $outs) (local.get $width))
          (local.set $to (i32.add (local.get $to) (local.get $cRow)))
          (local.set $at (i32.add (local.get $at) (i32.const 32)))
          (br_if $lines (local.tee $more (i32.sub (local.get $more) (i32.const 1)))))
        (br_if $blocks (i32.lt_u (local.get $i) (local.get $m))))
      (local.set $cols (i32.add (local.get $cols) (i32.const 32)))
      (local.set $outs (i32.add (local.get $outs) (i32.const 32)))
      (br_if $columns
        (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 8))) (local.get $n)))))

  (func $sum (param $v v128) (result f32)
    (f32.add (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v)))
             (f32.add (f32x4.extract_lane 2 (local.get $v)) (f32x4.extract_lane 3 (local.get $v)))))

  ;; y[i] = bias[i] + A[i] x: m rows of k values, one after the other.
  (func (export "gemv") (param $a i32) (param $x i32) (param $y i32) (param $bias i32) (param $m i32) (param $k i32)
    (local $row i32) (local $b i32) (local $c i32) (local $d i32) (local $p i32) (local $end i32) (local $last i32)
    (local $v v128) (local $s v128) (local $t v128) (local $u v128) (local $w v128)
    (local $ss f32) (local $tt f32) (local $uu f32) (local $ww f32)
    (local.set $row (i32.shl (local.get $k) (i32.const 2)))
    (local.set $last (i32.add (local.get $x) (local.get $row)))
    (local.set $end (i32.add (local.get $x) (i32.and (local.get $row) (i32.const -16))))
    (loop $rows
      (local.set $s (v128.const 0 0 0 0))
      (local.set $t (v128.const 0 0 0 0))
      (local.set $u (v128.const 0 0 0 0))
      (local.set $w (v128.const 0 0 0 0))
      ;; Of the last rows fewer than four may be left: then the first of them stands in for those that are not there.
      (local.set $b (select (i32.add (local.get $a) (local.get $row)) (local.get $a) (i32.gt_u (local.get $m) (i32.const 1))))
      (local.set $c (select (i32.add (local.get $b) (local.get $row)) (local.get $a) (i32.gt_u (local.get $m) (i32.const 2))))
      (local.set $d (select (i32.add (local.get $c) (local.get $row)) (local.get $a) (i32.gt_u (local.get $m) (i32.const 3))))
      (local.set $p (local.get $x))
      (block $none
        (br_if $none (i32.ge_u (local.get $p) (local.get $end)))
        (loop $next
          (local.set $v (v128.load (local.get $p)))
          (local.set $s (f32x4.add (local.get $s) (f32x4.mul (local.get $v) (v128.load (local.get $a)))))
          (local.set $t (f32x4.add (local.get $t) (f32x4.mul (local.get $v) (v128.load (local.get $b)))))
          (local.set $u (f32x4.add (local.get $u) (f32x4.mul (local.get $v) (v128.load (local.get $c)))))
          (local.set $w (f32x4.add (local.get $w) (f32x4.mul (local.get $v) (v128.load (local.get $d)))))
          (local.set $a (i32.add (local.get $a) (i32.const 16)))
          (local.set $b (i32.add (local.get $b) (i32.const 16)))
          (local.set $c (i32.add (local.get $c) (i32.const 16)))
          (local.set $d (i32.add (local.get $d) (i32.const 16)))
          (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end)))))
      (local.set $ss (call $sum (local.get $s)))
      (local.set $tt (call $sum (local.get $t)))
      (local.set $uu (call $sum (local.get $u)))
      (local.set $ww (call $sum (local.get $w)))
      (block $none
        (br_if $none (i32.ge_u (local.get $p) (local.get $last)))
        (loop $next
          (local.set $ss (f32.add (local.get $ss) (f32.mul (f32.load (local.get $p)) (f32.load (local.get $a)))))
          (local.set $tt (f32.add (local.get $tt) (f32.mul (f32.load (local.get $p)) (f32.load (local.get $b)))))
          (local.set $uu (f32.add (local.get $uu) (f32.mul (f32.load (local.get $p)) (f32.load (local.get $c)))))
          (local.set $ww (f32.add (local.get $ww) (f32.mul (f32.load (local.get $p)) (f32.load (local.get $d)))))
          (local.set $a (i32.add (local.get $a) (i32.const 4)))
          (local.set $b (i32.add (local.get $b) (i32.const 4)))
          (local.set $c (i32.add (local.get $c) (i32.const 4)))
          (local.set $d (i32.add (local.get $d) (i32.const 4)))
          (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $last)))))
      (block $done
        (f32.store (local.get $y) (f32.add (local.get $ss) (f32.load (local.get $bias))))
        (br_if $done (i32.lt_u (local.get $m) (i32.const 2)))
        (f32.store offset=4 (local.get $y) (f32.add (local.get $tt) (f32.load offset=4 (local.get $bias))))
        (br_if $done (i32.lt_u (local.get $m) (i32.const 3)))
        (f32.store offset=8 (local.get $y) (f32.add (local.get $uu) (f32.load offset=8 (local.get $bias))))
        (br_if $done (i32.lt_u (local.get $m) (i32.const 4)))
        (f32.store offset=12 (local.get $y) (f32.add (local.get $ww) (f32.load offset=12 (local.get $bias)))))
      ;; The pointer of the last row of four stands where the next four begin.
      (local.set $a (local.get $d))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (local.set $bias (i32.add (local.get $bias) (i32.const 16)))
      (br_if $rows
        (i32.gt_s (local.tee $m (i32.sub (local.get $m) (i32.const 4))) (i32.const 0)))))

  ;; e^x in place of n values, and of those up to the next multiple of four: Cephes' expf (Moshier 1992), off by at
  ;; most two units in the last place from -87.3 to 88.4; below it is 1.2e-38, above infinite.
  (func (export "exp") (param $p i32) (param $n i32)
    (local $end i32) (local $x v128) (local $t v128) (local $r v128) (local $y v128)
    (local.set $end (i32.add (local.get $p) (i32.shl (local.get $n) (i32.const 2))))
    (loop $next
      (local.set $x
        (f32x4.pmin
          (f32x4.pmax (v128.load (local.get $p)) (f32x4.splat (f32.const -87.33)))
          (f32x4.splat (f32.const 88.72))))
      ;; x = t ln 2 + r. Added to 1.5 * 2^23 a number is rounded to an integer, which its last bits then are.
      (local.set $t
        (f32x4.add
          (f32x4.mul (local.get $x) (f32x4.splat (f32.const 1.4426950408889634)))
          (f32x4.splat (f32.const 12582912))))
      (local.set $r (f32x4.sub (local.get $t) (f32x4.splat (f32.const 12582912))))
      (local.set $x
        (f32x4.sub
          (f32x4.sub (local.get $x) (f32x4.mul (local.get $r) (f32x4.splat (f32.const 0.693359375))))
          (f32x4.mul (local.get $r) (f32x4.splat (f32.const -2.12194440e-4)))))
      (local.set $y (f32x4.splat (f32.const 1.9875691500e-4)))
      (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $x)) (f32x4.splat (f32.const 1.3981999507e-3))))
      (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $x)) (f32x4.splat (f32.const 8.3334519073e-3))))
      (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $x)) (f32x4.splat (f32.const 4.1665795894e-2))))
      (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $x)) (f32x4.splat (f32.const 1.6666665459e-1))))
      (local.set $y (f32x4.add (f32x4.mul (local.get $y) (local.get $x)) (f32x4.splat (f32.const 5.0000001201e-1))))
      (local.set $y
        (f32x4.add
          (f32x4.add (f32x4.mul (f32x4.mul (local.get $y) (local.get $x)) (local.get $x)) (local.get $x))
          (f32x4.splat (f32.const 1))))
      (v128.store (local.get $p)
        (f32x4.mul (local.get $y)
          (i32x4.add (i32x4.shl (local.get $t) (i32.const 23)) (i32x4.splat (i32.const 0x3f800000)))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))))
